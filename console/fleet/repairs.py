"""Replacing parties of a fleet: those that died, as their plan says and not too often, or whom somebody names."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from functools import partial

from unfed.plugins import Failure, Plan, UnfedError

from .crew import Crew
from .losses import Losses

COMEBACKS, COMEBACKS_WITHIN = 3, 60.0
"""A party that dies more often than this in so many seconds is not replaced any more."""


class Repairs:
    """Replacements under way.

    Attributes:
        whole: set while there are none of parties that queries cannot do without: questions wait for that.
        broken: why the fleet cannot be repaired, until somebody restarts what that is about.
    """

    def __init__(self, plan: Plan, crew: Crew, losses: Losses) -> None:
        self._plan, self._crew, self._losses = plan, crew, losses
        self.whole = asyncio.Event()
        self.whole.set()
        self.broken: Failure | None = None
        self._count = 0
        self._dead: set[str] = set()
        self._joining = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._deaths: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=COMEBACKS))

    def come_back(self, name: str) -> bool:
        """Have a process that died replaced, as the plan says; but not one that dies again and again."""
        if not self._may_come_back(name):
            return False
        self._dead.add(name)
        self._begin(name)
        task = asyncio.create_task(self._repair())
        self._tasks.add(task)
        task.add_done_callback(partial(self._done, name))
        return True

    async def restart(self, name: str) -> None:
        """Replace a party by a fresh one under a new key, and let its peers know.

        Raises:
            UnfedError: it could not start again, or a peer does not take it.
        """
        self._dead.add(name)
        self._crew.members[name].give_up(UnfedError("it is restarted", kind="party-lost", party=name))
        self._begin(name)
        try:
            await self._repair()
        finally:
            self._end(name)
        state = self._crew.members[name].state
        if state.health != "ready":
            why = f"it did not start again{f': {state.note}' if state.note else ''}"
            raise UnfedError.of(self.broken or Failure(kind="fleet", message=why, party=name))

    async def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _repair(self) -> None:
        """Replace all who are dead by now; those that die together, or meanwhile, are introduced together.

        An error breaks the fleet until somebody restarts what it is about, unless queries can do without that.
        """
        async with self._joining:
            if not self._dead:
                return  # whoever was here before us has seen to it
            broken: Failure | None = None
            needed = False
            fresh, excused = set[str](), set[str | None]()
            while self._dead or fresh:
                try:
                    while self._dead:
                        name = self._dead.pop()
                        fresh.add(name)
                        needed |= name not in self._losses.survivable
                        await self._crew.renew(name)
                    await self._crew.join(fresh)
                except UnfedError as error:
                    whose = error.failure.party
                    if self._dead:
                        continue  # it is about one of those, or comes of its death
                    if whose not in fresh | excused and self._is_lost(whose):
                        excused.add(whose)  # nobody is to be introduced to that one: the next try goes without
                        continue
                    broken = self._failed(fresh, error.failure) or broken
                else:
                    self._losses.joined(fresh)
                    fresh.clear()
            if needed:
                self.broken = broken
            if broken is not None:
                raise UnfedError.of(broken)

    def _is_lost(self, name: str | None) -> bool:
        member = self._crew.members.get(name or "")
        return member is not None and member.state.health == "lost"

    def _failed(self, fresh: set[str], failure: Failure) -> Failure | None:
        """Give up those whom it is about, or all; what breaks the fleet by that."""
        broken: Failure | None = None
        for name in fresh & {failure.party} or set(fresh):
            fresh.discard(name)
            survivable = name in self._losses.survivable
            if survivable or failure.party in (None, name):
                self._crew.give_up(name, failure.message)
            if not survivable:
                broken = failure
            elif self._may_come_back(name):
                self._dead.add(name)
        return broken

    def _may_come_back(self, name: str) -> bool:
        """Whether the plan says so; takes note of a death."""
        party = self._plan.party(name)
        return not party.trusted and party.restart != "never" and not self._too_often(name)

    def _too_often(self, name: str) -> bool:
        """Take note of a death, and say whether there were too many of late."""
        deaths, now = self._deaths[name], time.monotonic()
        often = len(deaths) == COMEBACKS and now - deaths[0] < COMEBACKS_WITHIN
        deaths.append(now)
        return often

    def _done(self, name: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever does the work tells of it
        self._end(name)

    def _begin(self, name: str) -> None:
        if name not in self._losses.survivable:
            self._count += 1
            self.whole.clear()

    def _end(self, name: str) -> None:
        if name not in self._losses.survivable:
            self._count -= 1
        if not self._count:
            self.whole.set()
