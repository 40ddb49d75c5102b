"""Profiles, demo models and prompts that ship with the package; data only."""
