"""A module that raises when it is imported."""

Anything = 1 / 0
