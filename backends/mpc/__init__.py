"""`mpc`: the whole model under multi-party computation."""
