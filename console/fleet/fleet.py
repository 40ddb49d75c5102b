"""A fleet: the running parties of one variant's plan."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path

import msgspec

from unfed.plugins import (
    CLIENT,
    Emulation,
    Event,
    Failed,
    Failure,
    Finished,
    Launcher,
    Plan,
    Query,
    Token,
    UnfedError,
)
from unfed.plugins.backend import Models
from unfed.plugins.errors import Kind

from ..party.control import Adopted, Ahead, Ask, Cancel, Happened, Order, Report, Settled, Trouble
from ..party.ended import Ended
from .advance import REST_WITHIN, Advance
from .crew import GRACE, Crew
from .member import Member
from .questions import Question, Verdict
from .repairs import Repairs
from .settlement import Settlement, add_up, merged
from .state import PartyState
from .stillness import Stillness

SETTLE_WITHIN = 10.0
STILL_WITHIN = 2.0
"""Seconds given to report on a query, and for its last messages to arrive."""

Changed = Callable[[PartyState], None]


class Fleet:
    """Starts the parties of a plan, links them, asks the client, watches all of them, and ends them.

    Args:
        variant: its id, which names logs, views and processes.
        launcher: starts the processes.
        logs: folder of the parties' logs.
        link: emulated delay and bandwidth of every link.
        views: folder that tapes go to when the run is audited.
        changed: called with a party's state whenever it changes.
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
    ) -> None:
        self.variant, self.backend, self.plan = variant, backend, plan.check()
        self.setup_seconds = 0.0
        self.setup_phases: dict[str, float] = {}
        self.broken: Failure | None = None
        self._changed = changed or (lambda state: None)
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
        self._asked: dict[str, Question] = {}
        self._used = Ended()
        self._advance = Advance(self._tell_all)
        self._stillness = Stillness()
        self._asides = count(1)
        self._aside: Settlement | None = None
        self._watch: asyncio.Task[None] | None = None
        self._up = False
        self._repairs = Repairs()
        self._dead: set[str] = set()
        self._joining = asyncio.Lock()

    # -- starting and stopping

    async def start(self) -> None:
        """Bring every party up.

        Raises:
            UnfedError: a party that could not start, with the end of its log; everything started is ended again.
        """
        began = time.perf_counter()
        self._watch = asyncio.create_task(self._look())
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
        self._up = True
        self.setup_phases = self._crew.setup_phases
        self.setup_seconds = time.perf_counter() - began

    async def stop(self) -> None:
        """End every party; returns when no process is left."""
        self._up = False
        if self._watch is not None:
            self._watch.cancel()
        await self._repairs.cancel()
        for question in self._asked.values():
            question.events.put_nowait(Verdict(Failure(kind="cancelled", message="the fleet was stopped")))
        members = list(self._members.values())
        await asyncio.gather(*(member.leave(GRACE) for member in members), return_exceptions=True)
        for member in members:
            self._crew.set_health(member, "stopped", "the fleet was stopped")

    # -- asking

    async def ask(self, query: Query, timeout: float) -> AsyncIterator[Event]:
        """The events of one query, ending with `Finished` or `Failed`, whatever happens."""
        if query.id in self._used:
            yield Failed(error=Failure(kind="bad-input", message=f"the query id {query.id!r} was used before"))
            return
        self._used.add(query.id)
        question = self._asked[query.id] = Question()
        putting = asyncio.create_task(self._put(query, question)) if not self._repairs.whole.is_set() else None
        if putting is None:
            self._put_now(query, question)
        deadline = time.monotonic() + timeout
        event: Event | None = None
        try:
            while not isinstance(event, Finished | Failed):
                try:
                    async with asyncio.timeout(deadline - time.monotonic()):
                        event = await question.next()
                except TimeoutError:
                    event = Failed(error=self._too_late(timeout))
                yield event
        finally:
            del self._asked[query.id]
            if putting is not None:
                putting.cancel()
            if question.put and not isinstance(event, Finished):
                self._members[CLIENT].tell(Cancel(query.id))

    async def _put(self, query: Query, question: Question) -> None:
        """Wait for parties that are being replaced, then ask."""
        await self._repairs.whole.wait()
        self._put_now(query, question)

    def _put_now(self, query: Query, question: Question) -> None:
        if (failure := self.broken or self.unfit()) is not None:
            question.events.put_nowait(Verdict(failure))
        else:
            question.put = True
            self._members[CLIENT].tell(Ask(query))

    def cancel(self, query: str) -> None:
        """End a query; its `Failed` event follows."""
        if (question := self._asked.get(query)) is not None:
            question.events.put_nowait(Failed(error=Failure(kind="cancelled", message="the query was cancelled")))

    async def settle(self, query: str) -> Settlement:
        """Collect what every party has to report on a query that is over, and have it forgotten.

        The client comes last: then it may work ahead, and where messages bear no ids that must not count here.
        """
        members, adopted = dict(self._members), self._advance.settle(query)
        if self.plan.private_ids and not self._asked:
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
        if rested and self._up and self.plan.private_ids and not self._asked:
            before = self._aside
            aside = await self.settle(f"aside{next(self._asides)}")
            self._aside = aside if before is None else merged(aside, before)
        return rested

    def unfit(self) -> Failure | None:
        """A party that is not there to answer; None while those that are not are being replaced."""
        if not self._repairs.whole.is_set():
            return None
        for member in self._members.values():
            if member.state.health in ("lost", "hung", "stopped"):
                kind: Kind = "party-hung" if member.state.health == "hung" else "party-lost"
                return Failure(
                    kind=kind, message=member.state.note, party=member.spec.name, hint=member.log.last_words()
                )
        return None if self._members else Failure(kind="fleet", message="the fleet has not been started")

    def _too_late(self, timeout: float) -> Failure:
        for member in self._members.values():
            if (failure := member.hung()) is not None:
                return failure
        replaced = [name for name, member in self._members.items() if member.state.health == "restarting"]
        return Failure(
            kind="timeout",
            message=f"no answer within {timeout:g} s",
            party=replaced[0] if replaced else None,
            hint="raise --timeout, or look at the Fleet screen",
        )

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
        if isinstance(report, Happened):
            if (question := self._asked.get(report.query)) is not None and _may_say(member, report.event):
                question.events.put_nowait(report.event)
        elif isinstance(report, Ahead | Adopted):
            if member.state.trusted:
                self._advance.heard(report)
        elif isinstance(report, Trouble):
            for query, question in self._asked.items():
                if question.put and report.query in ("", query):
                    question.events.put_nowait(Failed(error=report.failure))
        else:
            self._changed(msgspec.structs.replace(member.state))

    def _tell_all(self, order: Order) -> None:
        for member in self._members.values():
            member.tell(order)

    def _fail_all(self, failure: Failure) -> None:
        for question in self._asked.values():
            if question.put:
                question.events.put_nowait(Verdict(failure))

    def _ended(self, member: Member, failure: Failure) -> None:
        """A process is gone: whoever is asking is told who, at once."""
        if member.state.trusted:
            self._advance.gone()
        if member.leaving:
            return
        was = member.state.health
        if was == "lost":
            return  # we ended it ourselves, for a reason that is known
        self._crew.set_health(member, "lost", failure.message)
        self._fail_all(failure)
        if not self._up or was in ("starting", "restarting"):
            return  # whoever starts it is told
        if not self._come_back(member):
            self.broken = failure

    async def _look(self) -> None:
        """Notice parties that hang, and those that come back."""
        while True:
            await asyncio.sleep(0.5)
            for member in list(self._members.values()):
                if member.state.health in ("lost", "stopped"):
                    continue
                failure = member.hung()
                if failure is not None and member.state.health != "hung":
                    self._crew.set_health(member, "hung", failure.message)
                    self._fail_all(failure)
                    member.give_up(UnfedError.of(failure))
                    if self._up:
                        self._come_back(member)
                elif failure is None and member.state.health == "hung":
                    self._crew.set_health(member, "ready" if member.is_ready else "restarting")

    # -- replacing

    async def restart(self, name: str) -> None:
        """Replace a party by a fresh one under a new key, and let its peers know.

        Raises:
            UnfedError: it could not start again, or a peer does not take it.
        """
        self._fail_all(Failure(kind="party-lost", message="it was restarted", party=name))
        self._dead.add(name)
        with self._repairs.one():
            await self._repair()
        if self._members[name].state.health != "ready":
            raise UnfedError.of(self.broken or Failure(kind="fleet", message="it did not start again", party=name))

    def _come_back(self, member: Member) -> bool:
        """Have a process that died replaced, as the plan says; but not one that dies again and again."""
        name = member.spec.name
        if member.state.trusted or self.plan.party(name).restart == "never" or self._repairs.too_often(name):
            return False
        self._dead.add(name)
        self._repairs.start(self._repair())
        return True

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


def _may_say(member: Member, event: Event) -> bool:
    """Only the client answers; nodes may time phases and give metrics."""
    return member.state.trusted or not isinstance(event, Finished | Failed | Token)


def _start_kind(error: UnfedError) -> str:
    return error.failure.kind if error.failure.kind in ("bad-input", "unavailable") else "fleet"
