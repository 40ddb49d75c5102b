"""A fleet: the running parties of one variant's plan."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path

import msgspec

from unfed.plugins import Emulation, Event, Failure, Launcher, Note, Plan, Query, UnfedError
from unfed.plugins.backend import Models

from ..party.control import Adopted, Ahead, Happened, Order, Report, Settled, Trouble
from .advance import REST_WITHIN, Advance
from .crew import GRACE, Crew
from .losses import Losses
from .member import Member
from .questions import Questions
from .repairs import Repairs
from .settlement import Settlement, add_up, merged
from .state import PartyState
from .stillness import Stillness
from .watch import Watch

SETTLE_WITHIN = 10.0
STILL_WITHIN = 2.0
"""Seconds given to report on a query, and for its last messages to arrive."""

Changed = Callable[[PartyState], None]
Told = Callable[[Note], None]


class Fleet:
    """Starts the parties of a plan, links them, asks the client, watches all of them, and ends them.

    Args:
        variant: its id, which names logs, views and processes.
        launcher: starts the processes.
        logs: folder of the parties' logs.
        link: emulated delay and bandwidth of every link.
        views: folder that tapes go to when the run is audited.
        changed: called with a party's state whenever it changes.
        told: called with what the client tells that is no query's, until the fleet is stopped.
    """

    def __init__(
        self,
        variant: str,
        backend: str,
        plan: Plan,
        models: Models,
        *,
        launcher: Launcher,
        logs: Path,
        link: Emulation | None = None,
        views: Path | None = None,
        changed: Changed | None = None,
        told: Told | None = None,
    ) -> None:
        self.variant, self.backend, self.plan = variant, backend, plan.check()
        self.setup_seconds = 0.0
        self.setup_phases: dict[str, float] = {}
        self._changed = changed or (lambda state: None)
        self._told = told
        self._crew = Crew(
            variant,
            backend,
            plan,
            models,
            launcher,
            logs,
            link or Emulation(),
            views,
            self._heard,
            self._ended,
            self._changed,
        )
        self._members = self._crew.members
        losses = Losses(self.plan, self._members)
        self._repairs = Repairs(self.plan, self._crew, losses)
        self._questions = Questions(self._members, self._repairs, losses)
        self._watch = Watch(self._crew, self._questions, self._repairs, losses)
        self._advance = Advance(self._tell_all)
        self._stillness = Stillness()
        self._asides = count(1)
        self._aside: Settlement | None = None
        self._watching: asyncio.Task[None] | None = None

    # -- starting and stopping

    async def start(self) -> None:
        """Bring every party up.

        Raises:
            UnfedError: a party that could not start, with the end of its log; everything started is ended again.
        """
        began = time.perf_counter()
        self._watching = asyncio.create_task(self._watch.look())
        try:
            names = self.plan.processes()
            launched = await asyncio.gather(*(self._crew.launch(name) for name in names), return_exceptions=True)
            for outcome in launched:
                if isinstance(outcome, BaseException):
                    raise outcome
            await self._crew.join(names)
        except BaseException as error:
            await self.stop()
            if isinstance(error, UnfedError):
                raise UnfedError.of(msgspec.structs.replace(error.failure, kind=_start_kind(error))) from None
            raise
        self._watch.up = True
        self.setup_phases = self._crew.setup_phases
        self.setup_seconds = time.perf_counter() - began

    async def stop(self) -> None:
        """End every party; returns when no process is left."""
        self._watch.up, self._told = False, None
        if self._watching is not None:
            self._watching.cancel()
        await self._repairs.cancel()
        self._questions.stop()
        members = list(self._members.values())
        await asyncio.gather(*(member.leave(GRACE) for member in members), return_exceptions=True)
        for member in members:
            self._crew.set_health(member, "stopped", "the fleet was stopped")

    # -- asking

    def ask(self, query: Query, timeout: float) -> AsyncIterator[Event]:
        """The events of one query, ending with `Finished` or `Failed`, whatever happens."""
        return self._questions.ask(query, timeout)

    def cancel(self, query: str) -> None:
        """End a query; its `Failed` event follows."""
        self._questions.cancel(query)

    async def settle(self, query: str) -> Settlement:
        """Collect what every party has to report on a query that is over, and have it forgotten.

        The client comes last: then it may work ahead, and where messages bear no ids that must not count here.
        """
        members, adopted = dict(self._members), self._advance.settle(query)
        if self.plan.private_ids and not self._questions.asked:
            await self._stillness.come(members.values(), STILL_WITHIN)
        reports: dict[str, Settled | None] = {}
        for trusted in (False, True):
            asked = {name: member for name, member in members.items() if member.state.trusted == trusted}
            told = await asyncio.gather(*(member.settle(query, adopted, SETTLE_WITHIN) for member in asked.values()))
            reports |= zip(asked, told, strict=True)
        found, (aside, self._aside) = add_up(members, reports, adopted), (self._aside, None)
        return merged(found, aside) if adopted and aside is not None else found

    async def rested(self, within: float = REST_WITHIN) -> bool:
        """Wait until nothing is done ahead of queries, which would disturb what is measured; whether that is so.

        Where messages bear no query ids, what was done ahead is set aside here, or the next query would be charged.
        """
        rested = await self._advance.rested(within)
        if rested and self._watch.up and self.plan.private_ids and not self._questions.asked:
            before = self._aside
            aside = await self.settle(f"aside{next(self._asides)}")
            self._aside = aside if before is None else merged(aside, before)
        return rested

    def unfit(self) -> Failure | None:
        """A party that is not there to answer and cannot be done without; None while such are being replaced."""
        return self._questions.unfit()

    @property
    def broken(self) -> Failure | None:
        """Why it answers nothing until a party is restarted by hand."""
        return self._repairs.broken

    # -- watching

    def parties(self) -> list[PartyState]:
        return [msgspec.structs.replace(member.state) for member in self._members.values()]

    def log_tail(self, name: str, lines: int) -> list[str]:
        member = self._members.get(name)
        return member.log.tail(lines) if member else []

    def kill(self, name: str) -> None:
        """Kill a party's process, as a fault would."""
        self._members[name].process.kill()

    def _heard(self, member: Member, report: Report) -> None:
        if isinstance(report, Happened) and report.query:
            self._questions.happened(member, report)
        elif isinstance(report, Happened):
            if member.state.trusted and isinstance(report.event, Note) and self._told is not None:
                self._told(report.event)
        elif isinstance(report, Ahead | Adopted):
            if member.state.trusted:
                self._advance.heard(report)
        elif isinstance(report, Trouble):
            self._questions.trouble(report)
        else:
            self._changed(msgspec.structs.replace(member.state))

    def _tell_all(self, order: Order) -> None:
        for member in self._members.values():
            member.tell(order)

    def _ended(self, member: Member, failure: Failure) -> None:
        if member.state.trusted:
            self._advance.gone()
        self._watch.ended(member, failure)

    async def restart(self, name: str) -> None:
        """Replace a party by a fresh one under a new key, and let its peers know.

        Raises:
            UnfedError: it could not start again, or a peer does not take it.
        """
        self._watch.lose(name, Failure(kind="party-lost", message="it was restarted", party=name))
        await self._repairs.restart(name)


def _start_kind(error: UnfedError) -> str:
    return error.failure.kind if error.failure.kind in ("bad-input", "unavailable") else "fleet"
