"""The nodes that run the layers: the first adds the entries' shares up, the last answers over the reply circuit."""

from __future__ import annotations

from typing import Any

import torch

from unfed.plugins import Role, UnfedError, serve

from ..common.families import family_of
from ..common.hidden import Hidden
from ..common.sessions import Sessions
from ..common.shard import shard
from ..common.weights import tensor_name
from .hop import Hop, Passage
from .ledger import Ledger, Ledgers
from .onion import new_id
from .results import numbers_of, result, stated
from .statements import Signed, raw


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


class Layers(Role):
    """Runs its layers on what comes in and hands the result on. A session bears another name on each link.

    Settings:
        first, last: its layers.
        before: who may send; after: who may be next, none at the end.
        wire_dtype: of hidden states between nodes.
        stated: whether it is to be held to what it does.
        verifier: who may have it open what it sent, with the client's leave; or nobody.
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
        self._ledgers: Ledgers | None = None
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
    async def end(self, sender: str, *, session: bytes) -> None:
        """A session is over."""
        self._expect(sender)
        await self._end(session)

    async def _end(self, session: bytes) -> None:
        self._caches.forget(session)
        if self._ledgers is not None:
            self._ledgers.drop(session)
        onward = self._sessions.pop(session, None)
        if onward is not None and not onward.lost and onward.route:
            await self.ctx.send(onward.route[0], "end", session=onward.name)

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

    @serve
    async def reveal(self, sender: str, *, session: bytes, secret: bytes) -> dict[str, Any]:
        """See `Ledgers.reveal`."""
        if self._ledgers is None or sender != self.ctx.settings["verifier"]:
            raise UnfedError(f"{sender} sent what it may not", kind="protocol", party=sender)
        return self._ledgers.reveal(session, secret, sender)


class Joining(Layers):
    """Puts the entries' shares together.

    Attributes:
        ring: the type of what they are over.
    """

    ring: torch.dtype

    async def start(self) -> None:
        await super().start()
        self._waiting: dict[bytes, tuple[str, object, torch.Tensor]] = {}
        self._said: dict[bytes, dict[str, Signed]] = {}

    def _join(
        self, sender: str, session: bytes, reply: bytes, route: list[str], where: object, share: torch.Tensor
    ) -> torch.Tensor | None:
        """Both shares [t, hidden] of what lies `where`; None where the other one is still to come."""
        self._expect(sender)
        width = self.ctx.model.card.hidden
        if share.dtype is not self.ring or share.dim() != 2 or share.shape[1] != width or not len(share):
            raise UnfedError(f"{sender} sent what is no share of rows", kind="protocol", party=sender)
        self._begin(self._before, session, reply, route)
        waiting = self._waiting.pop(session, None)
        if waiting is None:
            self._waiting[session] = sender, where, share
            return None
        other, theirs, first = waiting
        if other == sender or theirs != where or first.shape != share.shape:
            raise UnfedError(f"{sender} sent a share that does not go with {other}'s", kind="protocol", party=sender)
        return first + share

    async def _state(self, session: bytes, release: bytes, said: list[Signed], before: dict[str, Signed]) -> None:
        """Once both entries have said what they did."""
        both = self._said.pop(session, {}) | before
        if len(both) < len(self._before):
            self._said[session] = both
            return
        in_order = {name: both[name] for name in self._before}
        await super()._state(session, release, list(in_order.values()), in_order)

    async def _end(self, session: bytes) -> None:
        self._waiting.pop(session, None)
        self._said.pop(session, None)
        await super()._end(session)


class First(Joining):
    """Here rows of the embedding lie open."""

    ring = torch.int32

    async def start(self) -> None:
        await super().start()
        self._positions: torch.Tensor | None = None
        family, card = family_of(self.ctx.model.card), self.ctx.model.card
        if family.positions:
            name = tensor_name(card, f"{family.positions}.weight")
            self._positions = self.ctx.model.tensors(name)[name].float()
            self.ctx.hold("weights opened", tensors=[name])

    @serve
    async def share(
        self, sender: str, *, session: bytes, reply: bytes, route: list[str], start: int, share: torch.Tensor
    ) -> None:
        """Of rows [t, hidden], over Z_2^32: int32."""
        whole = self._join(sender, session, reply, route, start, share)
        if (ledger := self._sessions[session].ledger) is not None:
            ledger.receives(sender, start, raw(share))
        if whole is None:
            return
        hidden = numbers_of(whole)
        self.ctx.hold("rows", rows=hidden)
        if self._positions is not None:
            hidden = hidden + self._positions[start : start + len(hidden)]
        await self._run(sender, session, hidden[None], start)


class Last(Layers, Hop):
    """Ends the reply circuit: what it sends back the client alone can read."""

    async def start(self) -> None:
        await Hop.start(self)
        await super().start()
        self._replies: dict[bytes, Passage] = {}
        self._early: dict[bytes, list[tuple[bytes, bytes]]] = {}
        """By session, results whose circuit is not open, or not any more, with its name."""

    async def arrived(self, passage: Passage, told: bytes) -> None:
        """`told` names the circuit, which is opened along with the others and may come after what is for it."""
        self._replies[told] = passage
        for waiting in list(self._early.values()):
            for reply, data in waiting:
                if reply == told:
                    await self.answer(passage, data)

    async def closed(self, passage: Passage) -> None:
        self._replies = {name: each for name, each in self._replies.items() if each is not passage}

    async def gone(self, peer: str) -> None:
        await Layers.gone(self, peer)
        await Hop.gone(self, peer)

    async def _end(self, session: bytes) -> None:
        self._early.pop(session, None)
        await super()._end(session)

    def _leads_on(self, route: list[str]) -> bool:
        return not route

    def _named(self, reply: bytes) -> bytes:
        return reply

    async def _on(self, session: bytes, hidden: torch.Tensor, start: int) -> None:
        onward, hidden = self._sessions[session], hidden if self.ctx.settings["whole"] else hidden[:, -1:]
        self.ctx.hold("result", hidden=hidden)
        if onward.ledger is not None:
            onward.ledger.sends(start, hidden, hidden)
        await self._reply(session, onward.reply, result(hidden))

    async def _say(self, onward: Onward, session: bytes, release: bytes, said: list[Signed]) -> None:
        await self._reply(session, onward.reply, stated(said))

    async def _reply(self, session: bytes, reply: bytes, data: bytes) -> None:
        if (passage := self._replies.get(reply)) is not None:
            await self.answer(passage, data)
        else:
            self._early.setdefault(session, []).append((reply, data))


class Only(First, Last):
    """All layers at one node."""
