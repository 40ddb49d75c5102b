"""The first layers under two-party computation between the entries, on what `mpc` publishes."""
