"""Decoys: sessions of the client's own making that nobody can tell from real ones until all have said what they did."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable

import msgspec

from unfed.plugins import Note, Query, UnfedError

from ..names import VERIFIER
from .habits import Habits, Moment
from .texts import Texts
from .verification import Verification, falls

log = logging.getLogger("unfed.backends.unfed")

_STOCK = 4
"""Texts that are written at once. Whenever none is left more are asked for, which tells nobody when one is used."""
_SHORT = 0.25
"""Seconds that runs are kept waiting for the pause before a decoy; in a longer one, whoever asks comes first."""

_WITHIN = 120.0
"""Seconds that a decoy may take: where a node breaks off there is no query that fails of it, and nobody is accused."""


class Decoys:
    """When a decoy comes, and of what.

    A decoy follows the session before it after a pause, or runs beside the next one, as queries do lately.

    Args:
        rate: how likely one is to follow a session.
        end: the token that texts begin after, and that none holds.
        rehearse: has a query answered as if it had been asked.
        tell: takes what came of one.
    """

    def __init__(
        self,
        verification: Verification,
        rate: float,
        texts: Texts,
        end: int,
        rehearse: Callable[[Query], Awaitable[None]],
        tell: Callable[[Note], None],
    ) -> None:
        self._verification, self._rate, self._texts, self._end = verification, rate, texts, end
        self._rehearse, self._tell = rehearse, tell
        self._habits = Habits()
        self._query = Query(id="")
        self._began = self._over = 0.0
        self._asking = 0
        self._own = self._fresh = False  # whether a real query was the last one, and whether one came since `ahead`
        self._due: list[Moment] = []
        self._at: float | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._given: dict[str, list[int]] = {}

    def asked(self, query: Query, tokens: int) -> None:
        """A real query comes."""
        now = time.monotonic()
        if self._asking:
            self._habits.asked(tokens, Moment(now - self._began, beside=True))
        else:
            self._habits.asked(tokens, Moment(now - self._over) if self._own else None)
        self._asking += 1
        self._query, self._began, self._at = query, now, None
        for moment in [moment for moment in self._due if moment.beside]:
            self._due.remove(moment)
            self._begin(moment.seconds)

    def answered(self) -> None:
        """It is over, however it ended."""
        self._asking -= 1
        self._over, self._own, self._fresh = time.monotonic(), True, True
        if falls(self._rate):
            self._due.append(self._habits.moment())

    def given(self, id: str) -> list[int] | None:
        """The text of a decoy; None for what somebody asked."""
        return self._given.get(id)

    def told(self, what: str, party: str = VERIFIER) -> None:
        """What came of one, for the console of whoever asks; no node hears of it."""
        self._tell(Note(kind="check", party=party, text=f"a decoy {what}"))

    async def ahead(self) -> float | None:
        """See `ClientRole.ahead`. A decoy that has begun is brought to its end, whoever asks meanwhile."""
        await self._ended()
        fresh, self._fresh = self._fresh, False
        if fresh and len(self._texts) < max(1, len(self._due)):
            await self._fill()
        while alone := [moment for moment in self._due if not moment.beside]:
            if self._at is None:
                self._at = self._over + alone[0].seconds
            if (pause := self._at - time.monotonic()) > _SHORT:
                return pause
            await asyncio.sleep(max(0.0, pause))
            self._at = None
            self._due.remove(alone[0])
            self._begin()
            await self._ended()
        return None

    def _begin(self, after: float = 0.0) -> None:
        task = asyncio.create_task(self._one(after))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _ended(self) -> None:
        while self._running:
            await asyncio.wait(self._running)

    async def _one(self, after: float) -> None:
        try:
            await asyncio.sleep(after)
            if not len(self._texts):
                await self._fill()
            query = msgspec.structs.replace(self._query, id=secrets.token_hex(16), prompt="")
            self._given[query.id] = self._texts.take(self._habits.length())
            try:
                async with asyncio.timeout(_WITHIN) as limit:
                    await self._rehearse(query)
            finally:
                del self._given[query.id]
            if limit.expired():
                log.warning("a decoy was not answered and checked within %g s", _WITHIN)
                self.told(f"was not answered and checked within {_WITHIN:g} s")
        except UnfedError as error:
            log.warning("there is no text for a decoy: %s", error)
            self.told(f"was left out, for there is no text: {error.failure.message}", error.failure.party or VERIFIER)
        finally:
            self._over, self._own = time.monotonic(), False

    async def _fill(self) -> None:
        lengths = tuple(self._habits.length() for _ in range(_STOCK))
        for ids in await self._verification.write((self._end,), self._end, lengths):
            self._texts.add(ids)
