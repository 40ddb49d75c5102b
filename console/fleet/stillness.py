"""When nothing moves in a fleet any more.

Where messages bear no query ids, what is still on its way when a query is settled would count towards the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from ..party.control import Counted
from .member import Member

_WAVES = 0.002
"""Seconds between two counts."""


class Stillness:
    """Compares what a fleet's parties have sent with what they have received.

    Attributes:
        lost: messages that never came, as where their receiver was replaced meanwhile; none are waited for twice.
    """

    def __init__(self) -> None:
        self.lost = 0

    async def come(self, members: Iterable[Member], within: float) -> bool:
        """Wait until all that was sent has arrived and nobody is at work on it; whether it came to that in time.

        Two counts after one another that agree: one alone may be taken before a message at its sender and after it
        at its receiver (Mattern, Algorithms for distributed termination detection, 1987: the four counter method).
        """
        members, now = list(members), list[Counted]()
        try:
            async with asyncio.timeout(within):
                while True:
                    before, now = now, await _counts(members)
                    if now == before and _missing(now) == self.lost and not any(each.busy for each in now):
                        return True
                    await asyncio.sleep(_WAVES)
        except TimeoutError:
            if not any(each.busy for each in now):
                self.lost = _missing(now)
            return False


def _missing(counts: Iterable[Counted]) -> int:
    return sum(each.sent - each.received for each in counts)


async def _counts(members: Iterable[Member]) -> list[Counted]:
    """Of those who are there to count."""
    return [each for each in await asyncio.gather(*(member.count() for member in members)) if each is not None]
