"""A fleet: the running parties of one variant's plan."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
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
    ModelCard,
    OpenedModel,
    Party,
    PartySpec,
    Plan,
    Query,
    Token,
    UnfedError,
)
from unfed.plugins.backend import Models

from ..party.control import Ask, Cancel, Happened, Meet, Report, Roster, Trouble
from ..party.ended import Ended
from .member import Member, log_path, peer_of
from .questions import Question, Verdict
from .repairs import Repairs
from .settlement import Settlement, add_up
from .state import PartyState
from .steps import all_take

HELLO_WITHIN = 60.0
READY_WITHIN = 600.0
SETTLE_WITHIN = 10.0
GRACE = 2.0
"""Seconds given: to say hello, to load and start, to report on a query, to stop by itself."""

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
        self._models = models
        self._launcher = launcher
        self._logs = logs
        self._link = link or Emulation()
        self._views = views
        self._changed = changed or (lambda state: None)
        self._members: dict[str, Member] = {}
        self._asked: dict[str, Question] = {}
        self._used = Ended()
        self._watch: asyncio.Task[None] | None = None
        self._up = False
        self._repairs = Repairs()
        self._joining = asyncio.Lock()

    # -- starting and stopping

    async def start(self) -> None:
        """Bring every party up.

        Raises:
            UnfedError: a party that could not start, with the end of its log; everything started is ended again.
        """
        began = time.perf_counter()
        self._logs.mkdir(parents=True, exist_ok=True)
        self._watch = asyncio.create_task(self._look())
        try:
            names = self.plan.processes()
            launched = await asyncio.gather(*(self._launch(name) for name in names), return_exceptions=True)
            for each in launched:
                if isinstance(each, BaseException):
                    raise each
            await self._join(names)
        except BaseException as error:
            await self.stop()
            if isinstance(error, UnfedError):
                raise UnfedError.of(msgspec.structs.replace(error.failure, kind=_start_kind(error))) from None
            raise
        self._up = True
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
        await asyncio.gather(
            *(member.leave(0.0 if member.state.health == "hung" else GRACE) for member in members),
            return_exceptions=True,
        )
        for member in members:
            self._set(member, "stopped", "the fleet was stopped")

    async def _launch(self, name: str) -> Member:
        party = self.plan.party(name)
        spec = PartySpec(
            variant=self.variant,
            name=name,
            role=party.role,
            settings=dict(party.settings),
            models=self._opened(party),
            threads=party.threads,
            link=self._link,
            private_ids=self.plan.private_ids,
            tape=str(self._views / f"{name}.view") if self._views else None,
        )
        log = log_path(self._logs, self.variant, name)
        before = self._members.get(name)
        state = PartyState(
            variant=self.variant,
            backend=self.backend,
            name=name,
            role=party.role.rpartition(":")[2],
            trusted=party.trusted,
            restarts=before.state.restarts + 1 if before else 0,
            health="restarting" if before else "starting",
            log=str(log),
        )
        log_start = log.stat().st_size if log.exists() else 0
        process = await self._launcher.launch(spec, log)
        member = self._members[name] = Member(spec, process, state, self._heard, self._ended, log_start)
        member.begin()
        self._changed(msgspec.structs.replace(state))
        return member

    def _opened(self, party: Party) -> dict[str, OpenedModel]:
        opened: dict[str, OpenedModel] = {}
        for slot, opens in party.opens.items():
            name, _, index = slot.partition("[")
            cards = self._models[name]
            card = cards if isinstance(cards, ModelCard) else cards[int(index.rstrip("]") or 0)]
            opened[slot] = OpenedModel(card, tuple(opens))
        return opened

    async def _join(self, names: Iterable[str]) -> None:
        """Give these members, and all that share a link with them, their rosters; wait until every one is ready."""
        new = [self._members[name] for name in names]
        await all_take(lambda member: member.hello, new, "say hello", HELLO_WITHIN)
        wanted = {member.spec.name for member in new}.union(*(self.plan.peers(name) for name in names))
        touched = [
            member
            for name, member in self._members.items()
            if name in wanted and member.introduced and member.end is None and not member.leaving
        ]
        for member in touched:
            member.expect_again()
            member.tell(self._roster(member.spec.name))
        await all_take(lambda member: member.pinned, touched, "take its roster", HELLO_WITHIN)
        for member in touched:
            member.tell(Meet())
        await all_take(lambda member: member.ready, touched, "get ready", READY_WITHIN)
        for member in touched:
            if member.end is not None:
                raise UnfedError.of(member.end)
            self._set(member, "ready")
        if CLIENT in names and not self.setup_phases:
            self.setup_phases = self._members[CLIENT].ready.result().phases

    def _roster(self, name: str) -> Roster:
        """Only peers that the plan links to `name`. Whoever comes first in the plan dials."""
        order = self.plan.processes()
        return Roster(
            tuple(
                peer_of(peer, self._members[peer].hello.result(), dial=order.index(name) < order.index(peer))
                for peer in self.plan.peers(name)
                if self._members[peer].introduced
            )
        )

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
        """Collect what every party has to report on a query that is over, and have it forgotten."""
        members = dict(self._members)
        reports = await asyncio.gather(*(member.settle(query, SETTLE_WITHIN) for member in members.values()))
        return add_up(members, dict(zip(members, reports, strict=True)))

    def unfit(self) -> Failure | None:
        """A party that is not there to answer."""
        for member in self._members.values():
            if member.state.health in ("lost", "hung", "stopped"):
                kind = "party-hung" if member.state.health == "hung" else "party-lost"
                return Failure(kind=kind, message=member.state.note, party=member.spec.name, hint=member.last_words())  # type: ignore[arg-type]
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
        return member.tail(lines) if member else []

    def kill(self, name: str) -> None:
        """Kill a party's process, as a fault would."""
        self._members[name].process.kill()

    def _set(self, member: Member, health: str, note: str = "") -> None:
        member.state.health, member.state.note = health, note  # type: ignore[assignment]
        self._changed(msgspec.structs.replace(member.state))

    def _heard(self, member: Member, report: Report) -> None:
        if isinstance(report, Happened):
            if (question := self._asked.get(report.query)) is not None and _may_say(member, report.event):
                question.events.put_nowait(report.event)
        elif isinstance(report, Trouble):
            for query, question in self._asked.items():
                if question.put and report.query in ("", query):
                    question.events.put_nowait(Failed(error=report.failure))
        else:
            self._changed(msgspec.structs.replace(member.state))

    def _fail_all(self, failure: Failure) -> None:
        for question in self._asked.values():
            if question.put:
                question.events.put_nowait(Verdict(failure))

    def _ended(self, member: Member, failure: Failure) -> None:
        """A process is gone: whoever is asking is told who, at once."""
        if member.leaving:
            return
        was = member.state.health
        self._set(member, "lost", failure.message)
        self._fail_all(failure)
        if not self._up or was in ("starting", "restarting"):
            return  # whoever starts it is told
        if self._may_come_back(member):
            self._repairs.start(self._repair(member.spec.name))
        else:
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
                    self._set(member, "hung", failure.message)
                    self._fail_all(failure)
                    member.give_up(UnfedError.of(failure))
                    if self._up and self._may_come_back(member):
                        self._repairs.start(self._repair(member.spec.name))
                elif failure is None and member.state.health == "hung":
                    self._set(member, "ready" if member.is_ready else "restarting")

    # -- replacing

    async def restart(self, name: str) -> None:
        """Replace a party by a fresh one under a new key, and let its peers know.

        Raises:
            UnfedError: it could not start again, or a peer does not take it.
        """
        self._fail_all(Failure(kind="party-lost", message="it was restarted", party=name))
        with self._repairs.one():
            async with self._joining:
                await self._replace(name)

    async def _repair(self, name: str) -> None:
        try:
            async with self._joining:
                await self._replace(name)
        except UnfedError as error:
            self.broken = error.failure

    async def _replace(self, name: str) -> None:
        old = self._members[name]
        old.leaving = True
        old.process.kill()
        await old.leave(GRACE)
        self._set(old, "restarting")
        try:
            await self._launch(name)
            await self._join([name])
        except UnfedError as error:
            new = self._members[name]
            if new is not old and error.failure.party in (None, name):
                new.process.kill()
                self._set(new, "lost", error.failure.message)
            raise
        self.broken = self.unfit()

    def _may_come_back(self, member: Member) -> bool:
        """Whether to replace a process that died: as the plan says, but not one that dies again and again."""
        if member.state.trusted or self.plan.party(member.spec.name).restart == "never":
            return False
        return not self._repairs.too_often(member.spec.name)


def _may_say(member: Member, event: Event) -> bool:
    """Only the client answers; nodes may time phases and give metrics."""
    return member.state.trusted or not isinstance(event, Finished | Failed | Token)


def _start_kind(error: UnfedError) -> str:
    return error.failure.kind if error.failure.kind in ("bad-input", "unavailable") else "fleet"
