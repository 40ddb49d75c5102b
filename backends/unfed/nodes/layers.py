"""The nodes that run the layers."""

from __future__ import annotations

import torch

from unfed.plugins import UnfedError, serve

from ...common.hidden import Hidden
from ...common.sessions import Sessions
from ...common.shard import shard
from ..circuits.onion import new_id
from ..integrity.held import Held
from ..integrity.ledger import Ledger, Ledgers
from ..integrity.statements import Signed, raw


class Onward:
    """A session at a node.

    Attributes:
        senders: whose links it comes over.
        name: what it is called on the way out.
        route: the nodes still to come, the next one first.
        reply: the name of its reply circuit.
        ledger: where the node is held to what it does.
        lost: whether the next node is gone, so that nothing is sent any more.
    """

    def __init__(self, senders: tuple[str, ...], name: bytes, route: list[str], reply: bytes) -> None:
        self.senders, self.name, self.route, self.reply = senders, name, route, reply
        self.ledger: Ledger | None = None
        self.lost = False


class Layers(Held):
    """Runs its layers on what comes in and hands the result on. A session bears another name on each link.

    Settings:
        first, last: its layers.
        before: who may send; after: who may be next, none at the end.
        wire_dtype: of hidden states between nodes.
        stated: whether it is to be held to what it does.
        verifier: see `Held`.
        whole: whether all hidden states of a prompt go back, for a client with layers of its own, or the last alone.
    """

    async def start(self) -> None:
        model, settings = self.ctx.model, self.ctx.settings
        self._before: tuple[str, ...] = tuple(settings["before"])
        self._after: tuple[str, ...] = tuple(settings["after"])
        self._wire = Hidden(settings["wire_dtype"], model.card.hidden)
        self._shard = shard(model, settings["first"], settings["last"])
        self._caches = Sessions(self._shard.new_cache, model.card.context)
        self._sessions: dict[bytes, Onward] = {}
        self._shard.warm()
        if settings["stated"]:
            run = (self._shard.first, self._shard.last)
            self._ledgers = Ledgers(self.ctx, run, model.tensors(*self._shard.tensors), settings["wire_dtype"])
        self.ctx.hold("weights opened", tensors=sorted(self._shard.tensors))

    # -- one step

    @serve
    async def forward(
        self, sender: str, *, session: bytes, reply: bytes, route: list[str], hidden: torch.Tensor, start: int
    ) -> None:
        """Hidden states [1, t, width] of places `start`, `start` + 1, …"""
        self._expect(sender)
        onward = self._begin((sender,), session, reply, route)
        rows = self._wire.unpack(hidden, sender)
        if onward.ledger is not None:
            onward.ledger.receives(sender, start, raw(hidden))
        await self._run(sender, session, rows, start)

    async def _run(self, sender: str, session: bytes, hidden: torch.Tensor, start: int) -> None:
        tokens = hidden.shape[1]
        cache = self._caches.advance(session, sender, start, tokens)
        hidden = self._shard(hidden, cache)
        self.ctx.contribute(layer_tokens=self._shard.layers * tokens)
        await self._on(session, hidden, start)

    async def _on(self, session: bytes, hidden: torch.Tensor, start: int) -> None:
        onward, packed = self._sessions[session], self._wire.pack(hidden)
        if onward.ledger is not None:
            onward.ledger.sends(start, hidden, packed)
        if not onward.lost:
            to, *route = onward.route
            named = {"session": onward.name, "reply": onward.reply, "route": route}
            await self.ctx.send(to, "forward", **named, hidden=packed, start=start)

    # -- sessions

    def _begin(self, senders: tuple[str, ...], session: bytes, reply: bytes, route: list[str]) -> Onward:
        """The session of this name, begun where there is none."""
        if (onward := self._sessions.get(session)) is None:
            if not self._leads_on(route):
                raise UnfedError(f"{senders[0]} sent a route that leads nowhere", kind="protocol", party=senders[0])
            onward = self._sessions[session] = Onward(senders, self._named(reply), route, reply)
            if self._ledgers is not None:
                onward.ledger = self._ledgers.of(session, onward.name, senders)
        if onward.senders != senders or onward.reply != reply:
            raise UnfedError(f"{senders[0]} sent what is another's", kind="protocol", party=senders[0])
        return onward

    def _leads_on(self, route: list[str]) -> bool:
        return bool(route) and route[0] in self._after

    def _named(self, reply: bytes) -> bytes:
        """What a session is called on the way out."""
        return new_id()

    @serve
    async def end(self, sender: str, *, session: bytes, leave: bytes) -> None:
        """A session is over; with the client's `leave` nobody will ask about it."""
        self._expect(sender)
        await self._end(session, leave)

    async def _end(self, session: bytes, leave: bytes = b"") -> None:
        self._caches.forget(session)
        if self._ledgers is not None:
            self._ledgers.drop(session)
            self._ledgers.dismiss(session, leave)
        onward = self._sessions.pop(session, None)
        if onward is not None and not onward.lost and onward.route:
            await self.ctx.send(onward.route[0], "end", session=onward.name, leave=leave)

    async def gone(self, peer: str) -> None:
        """What came from there is over; of what went there nothing is sent any more."""
        for session, onward in list(self._sessions.items()):
            if onward.route[:1] == [peer]:
                onward.lost = True
            if peer in onward.senders:
                await self._end(session)

    def _expect(self, sender: str) -> None:
        if sender not in self._before:
            raise UnfedError(f"{sender} sent what it may not", kind="protocol", party=sender)

    # -- being held to it

    @serve
    async def over(self, sender: str, *, session: bytes, release: bytes, said: list[tuple[bytes, bytes]]) -> None:
        """Nothing more comes: say what was done, after those before have said it."""
        self._expect(sender)
        if self._ledgers is not None and said:
            await self._state(session, release, [Signed(*each) for each in said], {sender: Signed(*said[-1])})

    async def _state(self, session: bytes, release: bytes, said: list[Signed], before: dict[str, Signed]) -> None:
        assert self._ledgers is not None
        if (onward := self._sessions.get(session)) is None:
            raise UnfedError("a session is over that nothing came for", kind="protocol", party=next(iter(before)))
        said = [*said, self._ledgers.commit(session, release, before)]
        if not onward.lost:
            await self._say(onward, session, release, said)

    async def _say(self, onward: Onward, session: bytes, release: bytes, said: list[Signed]) -> None:
        plain = [tuple(each) for each in said]
        await self.ctx.send(onward.route[0], "over", session=onward.name, release=release, said=plain)
