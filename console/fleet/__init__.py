"""Starts the parties of a plan, supervises them and talks to them. Never imports torch or textual."""
