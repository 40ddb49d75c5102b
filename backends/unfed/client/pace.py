"""How fast a session's tokens come, and when that is to be told."""

from __future__ import annotations

import time

EVERY = 0.5
"""Seconds between two tellings, at the least."""


class Pace:
    """Of one session."""

    def __init__(self) -> None:
        self._sum, self._many = 0.0, 0
        self._told, self._due = 0, time.monotonic()

    def took(self, seconds: float) -> None:
        """What one token took over the whole way. Its parts are nobody's to measure: nodes know no query by its id."""
        self._sum, self._many = self._sum + seconds, self._many + 1

    def news(self, *, last: bool = False) -> float | None:
        """Mean seconds a token, where it is time to tell something new; the `last` time it is always time."""
        now = time.monotonic()
        if self._many == self._told or not (last or now >= self._due):
            return None
        self._told, self._due = self._many, now + EVERY
        return self._sum / self._many
