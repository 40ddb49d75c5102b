"""The queries in flight: put to the client, timed, and ended with the best reason that there is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping

import msgspec

from unfed.plugins import CLIENT, Event, Failed, Failure, Finished, Query, Token
from unfed.plugins.errors import Kind

from ..party.control import Ask, Cancel, Happened, Trouble
from ..party.ended import Ended
from .losses import Losses
from .member import Member
from .repairs import Repairs

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


class Questions:
    """What a fleet has been asked.

    Args:
        members: whom it is asked of, by name; the fleet's own, which change.
        repairs, losses: of the same fleet.

    Attributes:
        asked: the queries in flight, by id.
    """

    def __init__(self, members: Mapping[str, Member], repairs: Repairs, losses: Losses) -> None:
        self._members, self._repairs, self._losses = members, repairs, losses
        self.asked: dict[str, Question] = {}
        self._used = Ended()

    async def ask(self, query: Query, timeout: float) -> AsyncIterator[Event]:
        """The events of one query, ending with `Finished` or `Failed`, whatever happens."""
        if query.id in self._used:
            yield Failed(error=Failure(kind="bad-input", message=f"the query id {query.id!r} was used before"))
            return
        self._used.add(query.id)
        question = self.asked[query.id] = Question()
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
            del self.asked[query.id]
            if putting is not None:
                putting.cancel()
            if question.put and not isinstance(event, Finished):
                self._members[CLIENT].tell(Cancel(query.id))

    async def _put(self, query: Query, question: Question) -> None:
        """Wait for parties that are being replaced, then ask."""
        await self._repairs.whole.wait()
        self._put_now(query, question)

    def _put_now(self, query: Query, question: Question) -> None:
        if (failure := self._repairs.broken or self.unfit()) is not None:
            question.events.put_nowait(Verdict(failure))
        else:
            question.put = True
            self._members[CLIENT].tell(Ask(query))

    def unfit(self) -> Failure | None:
        """A party that is not there to answer and cannot be done without; None while such are being replaced."""
        if not self._repairs.whole.is_set():
            return None
        for name, member in self._members.items():
            health = member.state.health
            if health == "stopped" or (health in ("lost", "hung") and name not in self._losses.survivable):
                kind: Kind = "party-hung" if health == "hung" else "party-lost"
                return Failure(kind=kind, message=member.state.note, party=name, hint=member.log.last_words())
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

    # -- what they are told

    def happened(self, member: Member, report: Happened) -> None:
        """An event of a query; only the client answers, while nodes may time phases and give metrics."""
        if not member.state.trusted and isinstance(report.event, Finished | Failed | Token):
            return
        if (question := self.asked.get(report.query)) is not None:
            question.events.put_nowait(report.event)

    def trouble(self, report: Trouble) -> None:
        """A party cannot do its part; unless for the lack of one that can be done without."""
        if self._losses.explains(report.failure):
            return
        for query, question in self.asked.items():
            if question.put and report.query in ("", query):
                question.events.put_nowait(Failed(error=report.failure))

    def fail(self, failure: Failure) -> None:
        """All that the client has end for this reason."""
        for question in self.asked.values():
            if question.put:
                question.events.put_nowait(Verdict(failure))

    def cancel(self, query: str) -> None:
        """End a query; its `Failed` event follows."""
        if (question := self.asked.get(query)) is not None:
            question.events.put_nowait(Failed(error=Failure(kind="cancelled", message="the query was cancelled")))

    def stop(self) -> None:
        """The fleet goes down: nothing is waited for any more."""
        for question in self.asked.values():
            question.events.put_nowait(Verdict(Failure(kind="cancelled", message="the fleet was stopped")))
