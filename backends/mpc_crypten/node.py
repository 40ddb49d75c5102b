"""A compute node: one rank of CrypTen. It holds public weights, and a share of everything that the prompt touches."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from unfed.plugins import UnfedError, serve

from ..common.folded import fold
from ..common.sessions import Sessions
from .backend import NODES
from .functions import Crypten
from .ranges import Ranges, watch
from .rank import Rank
from .rehearsal import on_shares, requests_of
from .transformer import Cache, Transformer


class Node(Rank):
    async def start(self) -> None:
        await super().start()
        card = self.ctx.model.card
        self._transformer = Transformer(fold(self.ctx.model))
        if self._rank == 0:
            self._ranges = watch(self._transformer, card.vocab, card.context)
        else:
            self._ranges = Ranges.travelled(await self.ctx.call(NODES[0], "ranges"))
        self._functions = Crypten(self._ranges)
        self._caches = Sessions(Cache, card.context)
        self._prepared: dict[str, tuple[int, int]] = {}

    async def forget(self, query: str) -> None:
        self._caches.forget(query)
        self._prepared.pop(query, None)
        await super().forget(query)

    @serve
    async def ranges(self, sender: str) -> list[Any]:
        """Within which the model's numbers lie."""
        return self._ranges.travelling()

    @serve
    async def limit(self, sender: str) -> float:
        """Which no logit of the model exceeds."""
        return self._transformer.limit

    @serve
    async def prepare(self, sender: str, *, start: int, tokens: int) -> None:
        """At the first rank: have the dealer make what a step over `tokens` tokens after `start` others uses up."""
        self._client_only(sender)
        session = self._session(sender)
        if self._rank or start < 0 or not 0 < tokens <= self._room(start):
            raise UnfedError(f"{sender} prepares a step that cannot be", kind="protocol", party=sender)
        self._prepared[self.ctx.query] = start, tokens
        await self._work(lambda: session.prepare(requests_of(self._transformer, self._functions, start, tokens)))

    @serve
    async def step(self, sender: str, *, start: int, onehot: torch.Tensor) -> torch.Tensor:
        """Run shares of one-hot tokens [t, vocab] through the model: a share of the last one's logits [vocab]."""
        self._client_only(sender)
        session, tokens = self._session(sender), onehot.shape[0] if onehot.dim() else 0
        if onehot.shape != (tokens, self.ctx.model.card.vocab) or onehot.dtype is not torch.int64:
            raise UnfedError(f"{sender} sent what are no shares of tokens", kind="protocol", party=sender)
        if self._rank == 0 and self._prepared.pop(self.ctx.query, None) != (start, tokens):
            raise UnfedError(f"{sender} runs a step that was not prepared", kind="protocol", party=sender)
        cache = self._caches.advance(self.ctx.query, sender, start, tokens)
        program = partial(on_shares, self._transformer, self._functions, onehot, cache, start)
        logits: torch.Tensor = await self._work(lambda: session.run(program))
        self.ctx.contribute(layer_tokens=self.ctx.model.card.layers * tokens)
        return logits

    def _room(self, start: int) -> int:
        context = self.ctx.model.card.context
        return context - start if context else 1 << 20
