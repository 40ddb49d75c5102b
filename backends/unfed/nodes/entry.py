"""An entry node: looks up tokens that it cannot read, and hands its share of their rows to the first of the layers."""

from __future__ import annotations

import torch

from unfed.plugins import CLIENT

from ...common.ends import Embedding
from ...mpc.engine.embedding import keys, levels, look_up
from ...mpc.engine.rows import HALF, Rows
from ..bits import bits_of
from ..circuits.cells import Done, Over, ToEntry, decode_told, read
from ..circuits.hop import Hop, Passage
from ..circuits.onion import Unsealed
from ..integrity.ledger import Ledgers
from ..integrity.statements import raw
from .beginning import leading, state


class Entry(Hop):
    """One of two, each of which learns how many tokens there are and nothing else.

    Rows are looked up as the bits of their floating-point numbers, over Z_2^32: shares add up to them exactly.

    Settings:
        party: 0 or 1.
        firsts: nodes that the layers may begin at.
        stated: whether it is to be held to what it does.
    """

    async def start(self) -> None:
        await super().start()
        self._party: int = self.ctx.settings["party"]
        self._card = self.ctx.model.card
        embedding = Embedding(self.ctx.model)
        self._table = Rows(bits_of(embedding.tokens.weight.detach()), HALF)
        self._depth = levels(self._card.vocab)
        self._told: dict[Passage, ToEntry] = {}
        tensors = self.ctx.model.tensors(*embedding.opened)
        self._ledgers = Ledgers(self.ctx, (), tensors, "z32") if self.ctx.settings["stated"] else None
        look_up(self._party, keys([0], self._card.vocab)[self._party], self._table)  # compiles, or loads what was
        self.ctx.hold("weights opened", tensors=sorted(embedding.opened))

    async def arrived(self, passage: Passage, told: bytes) -> None:
        self._told[passage] = leading(decode_told, told, self.ctx.settings["firsts"], passage.before[0])

    async def gone(self, peer: str) -> None:
        """Of sessions that went there nothing is sent any more: a fresh process would not know what to do with it."""
        for passage in [passage for passage, told in self._told.items() if told.route[0] == peer]:
            told = self._told.pop(passage)
            if self._ledgers is not None:
                self._ledgers.drop(told.session)
        await super().gone(peer)

    async def closed(self, passage: Passage) -> None:
        if (told := self._told.pop(passage, None)) is not None:
            if self._ledgers is not None:
                self._ledgers.drop(told.session)
            await self.ctx.send(told.route[0], "end", session=told.session, leave=b"")

    async def received(self, passage: Passage, data: bytes) -> None:
        if (told := self._told.get(passage)) is None:
            return  # whoever it was for is gone
        sender = passage.before[0]
        try:
            asked = read(data, self._card.vocab, self._depth)
        except Unsealed as error:
            raise self._misused(sender, f"sent {error}") from None
        if isinstance(asked, Over):
            await state(self.ctx, self._ledgers, told, asked.release)
            if self._ledgers is not None:
                self._ledgers.forget(told.session)  # its keys tell what it should have sent: nobody asks it
            return
        if isinstance(asked, Done):
            del self._told[passage]
            await self.ctx.send(told.route[0], "end", session=told.session, leave=asked.leave)
            return
        start, given = asked
        self.ctx.hold("keys", **given._asdict())
        share = look_up(self._party, given, self._table).to(torch.int32)
        self.ctx.contribute(rows=len(share))
        if self._ledgers is not None:
            ledger = self._ledgers.of(told.session, told.session, (CLIENT,))
            ledger.receives(CLIENT, start, data)
            ledger.sent.add(start, raw(share))
        first, *route = told.route
        named = {"session": told.session, "reply": told.reply, "route": route}
        await self.ctx.send(first, "share", **named, start=start, share=share)
