"""A node of `split`: runs its layers on what comes in and hands the result on, with a KV cache per query."""

from __future__ import annotations

import torch

from unfed.plugins import Role, UnfedError, serve

from ..common.ends import Embedding, Head
from ..common.hidden import Hidden
from ..common.sessions import Sessions
from ..common.shard import shard


class Layers(Role):
    async def start(self) -> None:
        model, settings = self.ctx.model, self.ctx.settings
        self._before: str = settings["before"]
        self._after: str = settings["after"]
        self._wire = Hidden(settings["wire_dtype"], model.card.hidden)
        self._shard = shard(model, settings["first"], settings["last"])
        self._embedding = Embedding(model) if settings["embedding"] else None
        self._head = Head(model) if settings["head"] else None
        self._sessions = Sessions(self._shard.new_cache, model.card.context)
        self._shard.warm()
        opened = set(self._shard.tensors)
        for end in (self._embedding, self._head):
            opened.update(end.opened if end is not None else ())
        self.ctx.hold("weights opened", tensors=sorted(opened))

    async def forget(self, query: str) -> None:
        self._sessions.forget(query)

    @serve
    async def forward(self, sender: str, *, hidden: torch.Tensor, start: int) -> None:
        """Hidden states [1, t, width] of positions `start`, `start` + 1, …"""
        self._expect(sender, self._embedding is None)
        await self._run(sender, self._wire.unpack(hidden, sender), start)

    @serve
    async def tokens(self, sender: str, *, ids: torch.Tensor, start: int) -> None:
        """Token ids [1, t] of positions `start`, `start` + 1, …; only a node that holds the embedding takes them."""
        self._expect(sender, self._embedding is not None)
        assert self._embedding is not None
        vocab = self.ctx.model.card.vocab
        if ids.dtype != torch.int64 or ids.dim() != 2 or ids.shape[0] != 1 or not ids.shape[1]:
            wrong = f"tokens of shape {list(ids.shape)} ({ids.dtype}), expected [1, t] int64"
        elif int(ids.min()) < 0 or int(ids.max()) >= vocab:
            wrong = "tokens that the model does not know"
        elif 0 < (context := self.ctx.model.card.context) < start + ids.shape[1] or start < 0:
            wrong = f"tokens at positions outside of the context of {context}"
        else:
            await self._run(sender, self._embedding(ids, start), start)
            return
        raise UnfedError(f"{sender} sent {wrong}", kind="protocol", party=sender)

    async def _run(self, sender: str, hidden: torch.Tensor, start: int) -> None:
        """Through the layers, and on to whoever is next. Only the last position is of use after the last layer."""
        tokens = hidden.shape[1]
        cache = self._sessions.advance(self.ctx.query, sender, start, tokens)
        hidden = self._shard(hidden, cache)
        self.ctx.contribute(layer_tokens=self._shard.layers * tokens)
        if self._after != "client":
            await self.ctx.send(self._after, "forward", hidden=self._wire.pack(hidden), start=start)
        elif self._head is not None:
            logits = self._head(hidden)
            self.ctx.hold("logits", logits=logits)
            await self.ctx.send("client", "logits", logits=logits)
        else:
            await self.ctx.send("client", "hidden", hidden=self._wire.pack(hidden[:, -1:]))

    def _expect(self, sender: str, welcome: bool) -> None:
        """Raises UnfedError (`protocol`) for a message from a peer that is not before us, or of the other kind."""
        if sender != self._before or not welcome:
            raise UnfedError(f"{sender} sent what only {self._before} may send", kind="protocol", party=sender)
