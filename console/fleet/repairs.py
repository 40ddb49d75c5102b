"""Replacing parties of a fleet: those that died, as their plan says and not too often, or whom somebody names."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager

from unfed.plugins import Failure, Plan, UnfedError

from .crew import Crew
from .member import Member

COMEBACKS, COMEBACKS_WITHIN = 3, 60.0
"""A party that dies more often than this in so many seconds is not replaced any more."""


class Repairs:
    """Replacements under way.

    Attributes:
        whole: set while there are none: questions wait for that.
        broken: why the fleet cannot be repaired, until somebody restarts what that is about.
    """

    def __init__(self, plan: Plan, crew: Crew) -> None:
        self._plan, self._crew = plan, crew
        self.whole = asyncio.Event()
        self.whole.set()
        self.broken: Failure | None = None
        self._count = 0
        self._dead: set[str] = set()
        self._joining = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._deaths: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=COMEBACKS))

    def come_back(self, member: Member) -> bool:
        """Have a process that died replaced, as the plan says; but not one that dies again and again."""
        name = member.spec.name
        if member.state.trusted or self._plan.party(name).restart == "never" or self._too_often(name):
            return False
        self._dead.add(name)
        self._begin()
        task = asyncio.create_task(self._repair())
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return True

    async def restart(self, name: str) -> None:
        """Replace a party by a fresh one under a new key, and let its peers know.

        Raises:
            UnfedError: it could not start again, or a peer does not take it.
        """
        self._dead.add(name)
        with self._one():
            await self._repair()
        if self._crew.members[name].state.health != "ready":
            raise UnfedError.of(self.broken or Failure(kind="fleet", message="it did not start again", party=name))

    async def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _repair(self) -> None:
        """Replace all who are dead by now. An error breaks the fleet until somebody restarts what it is about."""
        async with self._joining:
            if not self._dead:
                return  # whoever was here before us has seen to it
            try:
                await self._crew.replace(self._dead)
            except UnfedError as error:
                self.broken = error.failure
                raise
            self.broken = None

    def _too_often(self, name: str) -> bool:
        """Take note of a death, and say whether there were too many of late."""
        deaths, now = self._deaths[name], time.monotonic()
        often = len(deaths) == COMEBACKS and now - deaths[0] < COMEBACKS_WITHIN
        deaths.append(now)
        return often

    @contextmanager
    def _one(self) -> Iterator[None]:
        """A replacement, as long as it takes."""
        self._begin()
        try:
            yield
        finally:
            self._end()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever does the work tells of it
        self._end()

    def _begin(self) -> None:
        self._count += 1
        self.whole.clear()

    def _end(self) -> None:
        self._count -= 1
        if not self._count:
            self.whole.set()
