"""Records of runs: their form, their store, their exports."""
