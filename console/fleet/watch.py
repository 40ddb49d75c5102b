"""Notices parties that end or hang, and has whoever is asking, their peers and the repairs know."""

from __future__ import annotations

import asyncio

from unfed.plugins import Failure, UnfedError

from .crew import Crew
from .losses import Losses
from .member import Member
from .questions import Questions
from .repairs import Repairs

_EVERY = 0.5
"""Seconds between two looks for parties that hang."""


class Watch:
    """What follows from a party's end.

    Attributes:
        up: whether the fleet is: before, whoever starts it is told.
    """

    def __init__(self, crew: Crew, questions: Questions, repairs: Repairs, losses: Losses) -> None:
        self._crew, self._questions, self._repairs, self._losses = crew, questions, repairs, losses
        self.up = False

    def ended(self, member: Member, failure: Failure) -> None:
        """A process is gone: whoever is asking is told who, at once, or the client is, which then does without."""
        name, was = member.spec.name, member.state.health
        if member.leaving or was == "lost":
            return  # we ended it ourselves, for a reason that is known
        self._crew.set_health(member, "lost", failure.message)
        self.lose(name, failure)
        if not self.up or was in ("starting", "restarting"):
            return  # whoever starts it is told
        if not self._repairs.come_back(name) and name not in self._losses.survivable:
            self._repairs.broken = failure

    def lose(self, name: str, failure: Failure) -> None:
        """Do without a process from now on."""
        if name not in self._losses.survivable:
            self._questions.fail(failure)
        if self.up:
            self._losses.gone(name, failure)

    async def look(self) -> None:
        """Notice parties that hang, and those that come back."""
        while True:
            await asyncio.sleep(_EVERY)
            for member in list(self._crew.members.values()):
                if member.state.health in ("lost", "stopped"):
                    continue
                failure = member.hung()
                if failure is not None and member.state.health != "hung":
                    self._hangs(member, failure)
                elif failure is None and member.state.health == "hung":
                    self._crew.set_health(member, "ready" if member.is_ready else "restarting")

    def _hangs(self, member: Member, failure: Failure) -> None:
        """It may go on one day, and is waited for unless it is replaced, or queries do without it."""
        name = member.spec.name
        self._crew.set_health(member, "hung", failure.message)
        member.give_up(UnfedError.of(failure))
        replaced = self.up and self._repairs.come_back(name)
        if name in self._losses.survivable:
            self.lose(name, failure)
            if not replaced:
                self._crew.give_up(name, failure.message)
        elif replaced:
            self.lose(name, failure)
        else:
            self._questions.fail(failure)
