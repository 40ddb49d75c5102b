"""Decoys: sessions of the client's own making that nobody can tell from real ones until all have said what they did."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from unfed.plugins import Query

from .texts import Habits, Texts
from .verification import Verification, falls

log = logging.getLogger("unfed.backends.unfed")

_STOCK = 4
"""Texts that are written at once. Whenever none is left more are asked for, which tells nobody when one is used."""
_SHORT = 0.25
"""Seconds that runs are kept waiting for the pause before a decoy; in a longer one, whoever asks comes first."""

_WITHIN = 120.0
"""Seconds that a decoy may take: where a node breaks off there is no query that fails of it, and nobody is told."""

Run = Callable[[Query, list[int]], Awaitable[bool]]
"""Has a text run and checked, as a query asks; whether it could be checked."""


class Decoys:
    """When a decoy comes, and of what.

    Args:
        rate: how likely one is to follow a session.
        end: the token that texts begin after, and that none holds.
        run: has one run and checked.
    """

    def __init__(self, verification: Verification, rate: float, texts: Texts, end: int, run: Run) -> None:
        self._verification, self._rate, self._texts, self._end, self._run = verification, rate, texts, end, run
        self._habits = Habits()
        self._query = Query(id="")
        self._over = 0.0
        self._own = self._fresh = False  # whether a real query was the last one, and whether no coin was thrown since
        self._due = 0
        self._at: float | None = None
        self._running: asyncio.Task[None] | None = None
        self._checked = 0

    def asked(self, query: Query, tokens: int) -> None:
        """A real query comes."""
        self._habits.asked(tokens, time.monotonic() - self._over if self._own else None)
        self._query, self._at = query, None

    def answered(self) -> None:
        """It is over, however it ended."""
        self._over, self._own, self._fresh = time.monotonic(), True, True

    def reported(self) -> int:
        """How many were checked since this was last asked."""
        checked, self._checked = self._checked, 0
        return checked

    async def ahead(self) -> float | None:
        """See `ClientRole.ahead`. A decoy that has begun is brought to its end, whoever asks meanwhile."""
        if self._running is not None:
            await asyncio.shield(self._running)
        if self._fresh:
            self._fresh = False
            self._due += falls(self._rate)
            if not len(self._texts):
                await self._fill()
        while self._due:
            if self._at is None:
                self._at = self._over + self._habits.pause()
            if (pause := self._at - time.monotonic()) > _SHORT:
                return pause
            await asyncio.sleep(max(0.0, pause))
            self._at = None
            self._due -= 1
            self._running = asyncio.create_task(self._one())
            await asyncio.shield(self._running)
        return None

    async def _one(self) -> None:
        try:
            async with asyncio.timeout(_WITHIN):
                checked = await self._run(self._query, self._texts.take(self._habits.length()))
            self._checked += checked
        except TimeoutError:
            log.warning("a decoy was not answered and checked within %g s", _WITHIN)
        finally:
            self._running, self._over, self._own = None, time.monotonic(), False

    async def _fill(self) -> None:
        lengths = tuple(self._habits.length() for _ in range(_STOCK))
        for ids in await self._verification.write((self._end,), self._end, lengths):
            self._texts.add(ids)
