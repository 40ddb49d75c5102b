"""A fleet: the running parties of one variant's plan."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from unfed.plugins import (
    CLIENT,
    Contribution,
    Emulation,
    Event,
    Failed,
    Failure,
    Finished,
    Launcher,
    LinkCount,
    ModelCard,
    OpenedModel,
    Party,
    PartySpec,
    Plan,
    Query,
    Trace,
    UnfedError,
    View,
)
from unfed.plugins.backend import Models

from ..party.control import Ask, Cancel, Happened, Meet, Report, Roster, Settled, Trouble
from .member import Member, log_path, peer_of
from .state import PartyState

HELLO_WITHIN = 60.0
READY_WITHIN = 600.0
SETTLE_WITHIN = 3.0
GRACE = 2.0
"""Seconds given: to say hello, to load and start, to report on a query, to stop by itself."""

Changed = Callable[[PartyState], None]


class Settlement(msgspec.Struct, kw_only=True):
    """What the parties report on one query: trace, contributions of the nodes, and their views so far."""

    trace: Trace
    contributions: list[Contribution]
    views: list[tuple[View, int, int]]
    silent: list[str]


class _Verdict(msgspec.Struct, frozen=True):
    """The supervisor's own word on why queries end; it outranks what a party says of its peer."""

    failure: Failure


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
        self._asked: dict[str, asyncio.Queue[Event | _Verdict]] = {}
        self._watch: asyncio.Task[None] | None = None
        self._repairs: set[asyncio.Task[None]] = set()
        self._joining = asyncio.Lock()

    # -- starting and stopping

    async def start(self) -> None:
        """Bring every party up.

        Raises:
            UnfedError: a party that could not start, with the end of its log; everything started is ended again.
        """
        began = time.perf_counter()
        self._logs.mkdir(parents=True, exist_ok=True)
        try:
            names = self.plan.processes()
            members = await asyncio.gather(*(self._launch(name) for name in names), return_exceptions=True)
            for member in members:
                if isinstance(member, BaseException):
                    raise member
            await self._join(names)
        except BaseException as error:
            await self.stop()
            if isinstance(error, UnfedError):
                raise UnfedError.of(msgspec.structs.replace(error.failure, kind=_start_kind(error))) from None
            raise
        self.setup_seconds = time.perf_counter() - began
        self._watch = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """End every party; returns when no process is left."""
        for task in (self._watch, *self._repairs):
            if task is not None:
                task.cancel()
        self._watch = None
        members = list(self._members.values())
        for member in members:
            member.leaving = True
        await asyncio.gather(*(member.leave(GRACE) for member in members), return_exceptions=True)
        for member in members:
            self._set(member, "stopped")

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
        process = await self._launcher.launch(spec, log)
        member = self._members[name] = Member(spec, process, state, self._heard, self._ended)
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
        async with self._joining:
            new = [self._members[name] for name in names]
            async with _within(HELLO_WITHIN, "say hello", new, lambda member: member.hello):
                await asyncio.gather(*(member.hello for member in new))
            wanted = set(names).union(*(self.plan.peers(name) for name in names))
            touched = [member for name, member in self._members.items() if name in wanted and not member.leaving]
            loop = asyncio.get_running_loop()
            for member in touched:
                if member.pinned.done():
                    member.pinned, member.ready = loop.create_future(), loop.create_future()
                member.tell(self._roster(member.spec.name))
            async with _within(HELLO_WITHIN, "take its roster", touched, lambda member: member.pinned):
                await asyncio.gather(*(member.pinned for member in touched))
            for member in touched:
                member.tell(Meet())
            async with _within(READY_WITHIN, "get ready", touched, lambda member: member.ready):
                readies = await asyncio.gather(*(member.ready for member in touched))
            for member, ready in zip(touched, readies, strict=True):
                self._set(member, "ready")
                if member.spec.name == CLIENT and not self.setup_phases:
                    self.setup_phases = ready.phases

    def _roster(self, name: str) -> Roster:
        """Only peers that the plan links to `name`. Whoever comes first in the plan dials."""
        order = self.plan.processes()
        return Roster(
            tuple(
                peer_of(peer, member.hello.result(), dial=order.index(name) < order.index(peer))
                for peer in self.plan.peers(name)
                if (member := self._members[peer]).hello.done() and not member.hello.exception()
            )
        )

    # -- asking

    async def ask(self, query: Query, timeout: float) -> AsyncIterator[Event]:
        """The events of one query, ending with `Finished` or `Failed`, whatever happens."""
        if (failure := self.unfit()) is not None:
            yield Failed(error=failure)
            return
        events: asyncio.Queue[Event | _Verdict] = asyncio.Queue()
        self._asked[query.id] = events
        client = self._members[CLIENT]
        client.tell(Ask(query))
        deadline = time.monotonic() + timeout
        try:
            while True:
                try:
                    async with asyncio.timeout(deadline - time.monotonic()):
                        event = await events.get()
                except TimeoutError:
                    client.tell(Cancel(query.id))
                    event = Failed(error=self._too_late(timeout))
                if isinstance(event, Failed) and event.error.kind == "party-lost":
                    event = await self._explain(event, events)
                elif isinstance(event, _Verdict):
                    event = Failed(error=event.failure)
                yield event
                if isinstance(event, Finished | Failed):
                    return
        finally:
            del self._asked[query.id]

    def cancel(self, query: str) -> None:
        """End a query; its `Failed` event follows."""
        if (events := self._asked.get(query)) is not None:
            self._members[CLIENT].tell(Cancel(query))
            events.put_nowait(Failed(error=Failure(kind="cancelled", message="the query was cancelled")))

    async def settle(self, query: str) -> Settlement:
        """Collect what every party has to report on a query that is over, and have it forgotten."""
        members = list(self._members.items())
        reports: list[Settled | None] = await asyncio.gather(
            *(member.settle(query, SETTLE_WITHIN) for _, member in members)
        )
        links: list[LinkCount] = []
        contributions, views, silent, rounds = [], [], [], 0
        for (name, member), report in zip(members, reports, strict=True):
            if report is None:
                silent.append(name)
            else:
                links.extend(report.trace.links)
                rounds = max(rounds, report.trace.rounds)
                if member.spec.tape:
                    views.append((View(name, Path(member.spec.tape)), report.entries, report.tape_bytes))
            if not member.state.trusted:
                contributions.append(report.contribution if report else Contribution(party=name))
        return Settlement(
            trace=Trace(links=tuple(links), rounds=rounds), contributions=contributions, views=views, silent=silent
        )

    def unfit(self) -> Failure | None:
        """Why the fleet cannot answer at present, if it cannot."""
        if self.broken is not None:
            return self.broken
        for member in self._members.values():
            if member.state.health in ("lost", "hung", "stopped"):
                kind = "party-hung" if member.state.health == "hung" else "party-lost"
                return Failure(kind=kind, message=member.state.note, party=member.spec.name, hint=member.last_words())  # type: ignore[arg-type]
        return None

    def _too_late(self, timeout: float) -> Failure:
        for member in self._members.values():
            if (failure := member.hung()) is not None:
                return failure
        return Failure(
            kind="timeout",
            message=f"no answer within {timeout:g} s",
            hint="raise --timeout, or look at the Fleet screen",
        )

    async def _explain(self, event: Failed, events: asyncio.Queue[Event | _Verdict]) -> Failed:
        """A lost peer as its supervisor knows it, if that comes in a moment: by whom and how it ended."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while not isinstance(later := await events.get(), _Verdict):
                    pass
                return Failed(error=later.failure)
        return event

    # -- watching

    def parties(self) -> list[PartyState]:
        return [msgspec.structs.replace(member.state) for member in self._members.values()]

    def log_tail(self, name: str, lines: int) -> list[str]:
        member = self._members.get(name)
        return member.tail(lines) if member else []

    def kill(self, name: str) -> None:
        """Kill a party's process, as a fault would."""
        self._members[name].process.kill()

    async def restart(self, name: str) -> None:
        """Replace a party by a fresh one under a new key, and let its peers know."""
        old = self._members[name]
        old.leaving = True
        old.process.kill()
        await old.leave(GRACE)
        await self._launch(name)
        await self._join([name])
        self.broken = None
        self.broken = self.unfit()

    def _set(self, member: Member, health: str, note: str = "") -> None:
        member.state.health, member.state.note = health, note  # type: ignore[assignment]
        self._changed(msgspec.structs.replace(member.state))

    def _heard(self, member: Member, report: Report) -> None:
        if isinstance(report, Happened):
            if (events := self._asked.get(report.query)) is not None and _may_say(member, report.event):
                events.put_nowait(report.event)
        elif isinstance(report, Trouble):
            for query, events in self._asked.items():
                if report.query in ("", query):
                    self._members[CLIENT].tell(Cancel(query))
                    events.put_nowait(Failed(error=report.failure))
        else:
            self._changed(msgspec.structs.replace(member.state))

    def _ended(self, member: Member, status: int) -> None:
        """A process is gone: whoever is asking is told who, at once."""
        if member.leaving:
            return
        failure = member.obituary(status)
        self._set(member, "lost", failure.message)
        self._fail_all(failure)
        if member.state.trusted or self.plan.party(member.spec.name).restart == "never":
            self.broken = failure
        else:
            self._repair(member.spec.name)

    def _fail_all(self, failure: Failure) -> None:
        for query, events in self._asked.items():
            self._members[CLIENT].tell(Cancel(query))
            events.put_nowait(_Verdict(failure))

    def _repair(self, name: str) -> None:
        async def repair() -> None:
            try:
                await self.restart(name)
            except UnfedError as error:
                self.broken = error.failure

        task = asyncio.create_task(repair())
        self._repairs.add(task)
        task.add_done_callback(self._repairs.discard)

    async def _look(self) -> None:
        """Notice parties that hang, and those that come back."""
        while True:
            await asyncio.sleep(0.5)
            for member in list(self._members.values()):
                failure = member.hung() if member.state.health in ("ready", "hung") else None
                if failure is not None and member.state.health == "ready":
                    self._set(member, "hung", failure.message)
                    self._fail_all(failure)
                    if self.plan.party(member.spec.name).restart == "on-failure":
                        member.process.kill()
                elif failure is None and member.state.health == "hung":
                    self._set(member, "ready")


def _may_say(member: Member, event: Event) -> bool:
    """Only the client answers; nodes may time phases and give metrics."""
    return member.state.trusted or (not isinstance(event, Finished | Failed) and not hasattr(event, "logits"))


def _start_kind(error: UnfedError) -> str:
    return error.failure.kind if error.failure.kind in ("bad-input", "unavailable") else "fleet"


@contextlib.asynccontextmanager
async def _within(
    seconds: float, what: str, members: list[Member], step: Callable[[Member], asyncio.Future[Any]]
) -> AsyncIterator[None]:
    """Bound a step of the start, naming who did not take it."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        late = next((member for member in members if not step(member).done()), members[0])
        raise UnfedError(
            f"it did not {what} within {seconds:g} s", kind="fleet", party=late.spec.name, hint=late.last_words()
        ) from None
