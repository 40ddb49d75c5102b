"""The nodes that run the layers: the first adds the entries' shares up, the last answers over the reply circuit."""

from __future__ import annotations

import asyncio

import torch

from unfed.plugins import Role, UnfedError, serve

from ..common.families import family_of
from ..common.hidden import Hidden
from ..common.sessions import Sessions
from ..common.shard import shard
from ..common.weights import tensor_name
from .cells import numbers_of, result
from .hop import Hop, Passage
from .onion import new_id

PATIENCE = 30.0
"""Seconds to wait for the reply circuit: it is opened along with the others, and may come after what is for it."""


class Layers(Role):
    """Runs its layers on what comes in and hands the result on. A session bears another name on each link.

    Settings:
        first, last: its layers.
        before: who may send; after: who is next, or nobody.
        wire_dtype: of hidden states between nodes.
        whole: whether all hidden states of a prompt go back, for a client with layers of its own, or the last alone.
    """

    async def start(self) -> None:
        model, settings = self.ctx.model, self.ctx.settings
        self._before: tuple[str, ...] = tuple(settings["before"])
        self._after: str = settings["after"]
        self._wire = Hidden(settings["wire_dtype"], model.card.hidden)
        self._shard = shard(model, settings["first"], settings["last"])
        self._sessions = Sessions(self._shard.new_cache, model.card.context)
        self._names: dict[bytes, bytes] = {}
        self._shard.warm()
        self.ctx.hold("weights opened", tensors=sorted(self._shard.tensors))

    @serve
    async def forward(self, sender: str, *, session: bytes, reply: bytes, hidden: torch.Tensor, start: int) -> None:
        """Hidden states [1, t, width] of places `start`, `start` + 1, …"""
        self._expect(sender)
        await self._run(sender, session, reply, self._wire.unpack(hidden, sender), start)

    @serve
    async def end(self, sender: str, *, session: bytes) -> None:
        """A session is over."""
        self._expect(sender)
        await self._end(session)

    async def _end(self, session: bytes) -> None:
        self._sessions.forget(session)
        if (name := self._names.pop(session, None)) is not None:
            await self.ctx.send(self._after, "end", session=name)

    async def _run(self, sender: str, session: bytes, reply: bytes, hidden: torch.Tensor, start: int) -> None:
        tokens = hidden.shape[1]
        cache = self._sessions.advance(session, sender, start, tokens)
        hidden = self._shard(hidden, cache)
        self.ctx.contribute(layer_tokens=self._shard.layers * tokens)
        await self._on(session, reply, hidden, start)

    async def _on(self, session: bytes, reply: bytes, hidden: torch.Tensor, start: int) -> None:
        name = self._names.setdefault(session, new_id())
        packed = self._wire.pack(hidden)
        await self.ctx.send(self._after, "forward", session=name, reply=reply, hidden=packed, start=start)

    def _expect(self, sender: str) -> None:
        if sender not in self._before:
            raise UnfedError(f"{sender} sent what it may not", kind="protocol", party=sender)


class First(Layers):
    """Puts the entries' shares together. Here rows of the embedding lie open."""

    async def start(self) -> None:
        await super().start()
        self._waiting: dict[bytes, tuple[str, int, torch.Tensor]] = {}
        self._positions: torch.Tensor | None = None
        family, card = family_of(self.ctx.model.card), self.ctx.model.card
        if family.positions:
            name = tensor_name(card, f"{family.positions}.weight")
            self._positions = self.ctx.model.tensors(name)[name].float()
            self.ctx.hold("weights opened", tensors=[name])

    @serve
    async def share(self, sender: str, *, session: bytes, reply: bytes, start: int, share: torch.Tensor) -> None:
        """Of rows [t, hidden], over Z_2^32: int32."""
        self._expect(sender)
        width = self.ctx.model.card.hidden
        if share.dtype is not torch.int32 or share.dim() != 2 or share.shape[1] != width or not len(share):
            raise UnfedError(f"{sender} sent what is no share of rows", kind="protocol", party=sender)
        waiting = self._waiting.pop(session, None)
        if waiting is None:
            self._waiting[session] = sender, start, share
            return
        other, theirs, first = waiting
        if other == sender or theirs != start or first.shape != share.shape:
            raise UnfedError(f"{sender} sent a share that does not go with {other}'s", kind="protocol", party=sender)
        hidden = numbers_of(first + share)
        self.ctx.hold("rows", rows=hidden)
        if self._positions is not None:
            hidden = hidden + self._positions[start : start + len(hidden)]
        await self._run(sender, session, reply, hidden[None], start)

    async def _end(self, session: bytes) -> None:
        self._waiting.pop(session, None)
        await super()._end(session)


class Last(Layers, Hop):
    """Ends the reply circuit: what it sends back the client alone can read."""

    async def start(self) -> None:
        await Hop.start(self)
        await super().start()
        self._replies: dict[bytes, asyncio.Future[Passage]] = {}

    async def arrived(self, passage: Passage, told: bytes) -> None:
        """`told` names the circuit."""
        self._reply(told).set_result(passage)

    async def closed(self, passage: Passage) -> None:
        for name, reply in list(self._replies.items()):
            if reply.done() and reply.result() is passage:
                del self._replies[name]

    async def _on(self, session: bytes, reply: bytes, hidden: torch.Tensor, start: int) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                passage = await asyncio.shield(self._reply(reply))
        except TimeoutError:
            self._replies.pop(reply, None)
            raise UnfedError(f"no reply circuit was opened within {PATIENCE:g} s", kind="timeout") from None
        hidden = hidden if self.ctx.settings["whole"] else hidden[:, -1:]
        self.ctx.hold("result", hidden=hidden)
        await self.answer(passage, result(hidden))

    def _reply(self, name: bytes) -> asyncio.Future[Passage]:
        return self._replies.setdefault(name, asyncio.get_running_loop().create_future())


class Only(First, Last):
    """All layers at one node."""
