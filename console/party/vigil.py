"""Staying awake for a moment where the next message is likely to come at once.

A core that went idle takes tens of microseconds to wake, more in a virtual machine, and has forgotten what it was at:
a short call then takes twice as long. So a party whose peers have been answering promptly looks for the next message
without going to sleep, for as long as that may sensibly take; once it had to wait longer, as for a peer that computes,
it sleeps again. Where staying awake turns out to be in vain, as on a machine that has other work, it is tried less.
"""

from __future__ import annotations

import asyncio
import os
from time import monotonic

PROMPT = 400e-6
"""Seconds within which a message counts as prompt, and for which the next one is looked out for."""
OFTEN = 8
"""Prompt messages in a row that it takes."""
PAUSE, LONGEST_PAUSE = 1e-3, 0.1
"""Seconds in which nobody stays awake after it was in vain, at first and at most."""


class Vigil:
    """Decides for one thread, which does the looking.

    Nobody stays awake on a machine of one core, where that would keep the peer from running.

    Attributes:
        until: look for the next message without sleeping until then, on the monotonic clock; 0 for not at all.
    """

    def __init__(self) -> None:
        self.until = 0.0
        self._useful = len(os.sched_getaffinity(0)) > 1
        self._prompt = 0
        self._pause = PAUSE
        self._since = self._again = 0.0

    def went(self) -> None:
        """A message was sent: what comes next may be its answer."""
        self._since = now = monotonic()
        if self._prompt >= OFTEN and self._useful and now >= self._again:
            self.until = now + PROMPT

    def came(self) -> None:
        """A message arrived."""
        now = monotonic()
        self._prompt = self._prompt + 1 if now - self._since < PROMPT else 0
        self._since = now
        if self.until:
            self.until = 0.0
            self._pause = max(PAUSE, 0.9 * self._pause)

    def vain(self) -> None:
        """Nothing came while we stayed awake."""
        self.until = 0.0
        self._again = monotonic() + self._pause
        self._pause = min(LONGEST_PAUSE, 4 * self._pause)


class LoopVigil(Vigil):
    """Of the running event loop, which looks for messages without sleeping while it has something else to call."""

    def __init__(self) -> None:
        super().__init__()
        self._watching = False

    def went(self) -> None:
        super().went()
        if self.until and not self._watching:
            self._watching = True
            self._watch()

    def _watch(self) -> None:
        if monotonic() < self.until:
            asyncio.get_running_loop().call_soon(self._watch)
            return
        self._watching = False
        if self.until:
            self.vain()
