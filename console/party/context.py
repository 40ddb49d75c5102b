"""`ctx`: what a role is given. See `unfed.plugins.Context`."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from unfed.plugins import Contribution, Model, Note, PartySpec, Phase, Query, UnfedError
from unfed.plugins.query import PhaseKind

from .channel import BlockingChannel
from .door import Door
from .identity import Identity
from .model import OpenModel
from .phases import Phases
from .tape import Tape
from .telling import Telling
from .wire import Wire, current_query

Rehearse = Callable[[Query], Awaitable[None]]


class PartyContext:
    """One per party, shared by all its queries; the current query is the task's own."""

    def __init__(
        self,
        spec: PartySpec,
        identity: Identity,
        wire: Wire,
        door: Door,
        tape: Tape | None,
        telling: Telling,
        rehearse: Rehearse,
    ) -> None:
        self.name = spec.name
        self.settings: Mapping[str, Any] = spec.settings
        self.models: Mapping[str, Model] = {
            slot: OpenModel(spec.name, opened) for slot, opened in spec.models.items() if opened.opens != ("none",)
        }
        self.peers: tuple[str, ...] = ()
        self.certificates: dict[str, str] = {}
        """Those of peers, and of parties that this one knows without a link."""
        self.phases: defaultdict[str, Phases] = defaultdict(Phases)
        self.adopted: defaultdict[str, float] = defaultdict(float)
        """Offline seconds of what a query adopted."""
        self._contributed: defaultdict[str, dict[str, float]] = defaultdict(dict)
        self._private = spec.private_ids
        self._identity = identity
        self._wire = wire
        self._door = door
        self._tape = tape
        self._telling = telling
        self._rehearse = rehearse

    @property
    def model(self) -> Model:
        try:
            return self.models["model"]
        except KeyError:
            raise UnfedError(
                "this party may open no part of the slot 'model'", kind="role", party=self.name, hint="see Party.opens"
            ) from None

    @property
    def query(self) -> str:
        return current_query.get()

    def call(self, peer: str, method: str, /, **fields: Any) -> Coroutine[Any, Any, Any]:
        return self._wire.call(peer, method, fields)

    def send(self, peer: str, method: str, /, **fields: Any) -> Coroutine[Any, Any, None]:
        return self._wire.tell(peer, method, fields)

    def sign(self, data: bytes, /) -> bytes:
        return self._identity.sign(data)

    def certificate(self, party: str, /) -> str:
        if party == self.name:
            return self._identity.certificate
        try:
            return self.certificates[party]
        except KeyError:
            raise UnfedError(
                f"{self.name} is not given the certificate of {party!r}", kind="role", hint="see Party.knows"
            ) from None

    def channel(self, peer: str, purpose: str = "rounds", /) -> BlockingChannel:
        return self._door.open(peer, purpose, current_query.get())

    @contextmanager
    def phase(self, name: str, kind: PhaseKind = "online", /) -> Iterator[None]:
        query = current_query.get()
        self._telling.phase(query, Phase(name=name, kind=kind, party=self.name))
        began = time.perf_counter()
        try:
            with self.phases[query].time(name, kind):
                yield
        finally:
            seconds = time.perf_counter() - began
            self._telling.phase(query, Phase(name=name, kind=kind, seconds=seconds, party=self.name))

    @contextmanager
    def ahead(self, id: str, /) -> Iterator[None]:
        token = current_query.set(id)
        try:
            yield
        finally:
            current_query.reset(token)

    def adopt(self, id: str, /) -> None:
        query = current_query.get()
        self.adopted[query] += self.phases[id].offline()
        self._telling.adopt(query, id)

    async def rehearse(self, query: Query, /) -> None:
        with self.ahead(query.id):
            await self._rehearse(query)
        self.phases.pop(query.id, None)

    def tell(self, note: Note, /) -> None:
        self._telling.news(note)

    def contribute(self, **amounts: float) -> None:
        mine = self._contributed[current_query.get()]
        for name, amount in amounts.items():
            mine[name] = mine.get(name, 0.0) + amount

    def hold(self, name: str, /, **fields: Any) -> None:
        if self._tape is not None:
            self._tape.held(name, current_query.get(), fields)

    def settle(self, *ids: str) -> Contribution:
        """What was contributed to a query and to what it adopted; all that was kept for these ids is dropped.

        With private ids, what was done without knowing for which query counts towards the one settled next.
        """
        amounts: dict[str, float] = {}
        for each in (*ids, "") if self._private else ids:
            self.phases.pop(each, None)
            self.adopted.pop(each, None)
            for name, amount in self._contributed.pop(each, {}).items():
                amounts[name] = amounts.get(name, 0.0) + amount
        return Contribution(party=self.name, amounts=amounts)
