"""Runs prompts through variants; used by the screen and by the command line alike."""
