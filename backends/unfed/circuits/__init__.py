"""Circuits that nobody but their client can follow, and what goes over them."""
