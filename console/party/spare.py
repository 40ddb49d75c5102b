"""The client's spare time: while no query is in flight, its role may work ahead."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from unfed.plugins import ClientRole, Failure, Role, UnfedError

from .control import Ahead

log = logging.getLogger("unfed.party")


class SpareTime:
    """When it begins and ends is told to the launcher, so that nothing else is measured meanwhile.

    Args:
        tell: sends a report to the launcher.
        explain: makes a failure of an error.
    """

    def __init__(self, tell: Callable[[Ahead], None], explain: Callable[[BaseException, str], Failure]) -> None:
        self._tell, self._explain = tell, explain
        self._in_flight: set[str] = set()
        self._work: asyncio.Task[None] | None = None

    def begins(self, role: Role, after: str = "") -> None:
        """The role is ready, or the query `after` is settled."""
        if after and after not in self._in_flight:
            return  # it was no query
        self._in_flight.discard(after)
        if isinstance(role, ClientRole) and not self._in_flight:
            self._tell(Ahead(True))
            self._work = asyncio.get_running_loop().create_task(self._spend(role, self._work))

    def over(self, query: str) -> None:
        """A query is asked."""
        self._in_flight.add(query)
        if self._work is not None:
            self._work.cancel()

    async def _spend(self, role: ClientRole, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})  # it may have been cancelled a moment ago
        while (again := await self._turn(role)) is not None:
            await asyncio.sleep(again)
            self._tell(Ahead(True))

    async def _turn(self, role: ClientRole) -> float | None:
        try:
            return await role.ahead()
        except Exception as error:
            failure = self._explain(error, "ahead failed")  # which logs what is a role's own
            if isinstance(error, UnfedError):
                log.warning("nothing was done ahead: %s", failure)
            return None
        finally:
            if self._work is asyncio.current_task():
                self._tell(Ahead(False))
