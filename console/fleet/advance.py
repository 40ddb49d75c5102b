"""What the client does ahead of queries, as the supervisor of its fleet hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..party.control import Adopted, Ahead, Settle
from ..party.ended import Ended

REST_WITHIN = 10.0
"""Seconds given to finish what is done ahead of the next query."""


class Advance:
    """Whether the client is at it, and which query has adopted what was done.

    Args:
        tell: sends an order to every party.
    """

    def __init__(self, tell: Callable[[Settle], None]) -> None:
        self._tell = tell
        self._adopted: dict[str, tuple[str, ...]] = {}
        self._settled = Ended()
        self._resting = asyncio.Event()
        self._resting.set()

    def heard(self, report: Ahead | Adopted) -> None:
        if isinstance(report, Ahead):
            (self._resting.clear if report.busy else self._resting.set)()
        elif report.query in self._settled:  # it was cancelled a moment ago: nobody is to keep what it adopted
            self._tell(Settle(report.query, (report.id,)))
        else:
            self._adopted[report.query] = (*self._adopted.get(report.query, ()), report.id)

    def gone(self) -> None:
        """There is no client any more."""
        self._resting.set()

    def settle(self, query: str) -> tuple[str, ...]:
        """A query is over: what it adopted."""
        self._settled.add(query)
        return self._adopted.pop(query, ())

    async def rested(self, within: float) -> bool:
        try:
            async with asyncio.timeout(within):
                return await self._resting.wait()
        except TimeoutError:
            return False
