"""A query in flight, as the fleet that asked it keeps it."""

from __future__ import annotations

import asyncio

import msgspec

from unfed.plugins import Event, Failed, Failure

_PATIENCE = {"party-lost": 0.5, "role": 0.1, "protocol": 0.1, "internal": 0.1}
"""Seconds, by what a party gives as the reason, to wait for the supervisor to know better: a process that dies shows
first in its peers."""


class Verdict(msgspec.Struct, frozen=True):
    """The supervisor's own word on why a query ends; it outranks what a party says of its peer."""

    failure: Failure


class Question:
    """What happened to one query. `put`: whether the client has it; it may wait for a party that is being replaced."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Event | Verdict] = asyncio.Queue()
        self.put = False

    async def next(self) -> Event:
        """The next event; a failure is the best explanation of it that there is within a moment."""
        event = await self.events.get()
        if isinstance(event, Verdict):
            return Failed(error=event.failure)
        if isinstance(event, Failed):
            return await self._explained(event)
        return event

    async def _explained(self, failed: Failed) -> Failed:
        """A lost peer as its supervisor or an honest third knows it: by whom, and how it ended."""
        try:
            async with asyncio.timeout(_PATIENCE.get(failed.error.kind, 0.0)):
                while True:
                    later = await self.events.get()
                    if isinstance(later, Verdict):
                        return Failed(error=later.failure)
                    if isinstance(later, Failed) and later.error.kind == "protocol" != failed.error.kind:
                        return later
        except TimeoutError:
            return failed
