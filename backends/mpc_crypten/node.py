"""A compute node: one rank of CrypTen. It holds public weights, and a share of everything that the prompt touches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import torch

from unfed.plugins import Channel, Role, UnfedError, serve

from ..common.folded import fold
from ..common.sessions import Sessions
from .backend import DEALER, NODES
from .functions import Crypten
from .ranges import Ranges, watch
from .rehearsal import on_shares, requests_of
from .session import Session, install
from .transformer import Cache, Transformer

Result = TypeVar("Result")


class Node(Role):
    async def start(self) -> None:
        card = self.ctx.model.card
        install()
        self._rank: int = self.ctx.settings["rank"]
        self._peer = NODES[1 - self._rank]
        self._transformer = Transformer(fold(self.ctx.model))
        if self._rank == 0:
            self._ranges = watch(self._transformer, card.vocab, card.context)
        else:
            self._ranges = Ranges.travelled(await self.ctx.call(NODES[0], "ranges"))
        self._functions = Crypten(self._ranges)
        self._open: dict[str, _Query] = {}
        self._caches = Sessions(Cache, card.context)
        self._prepared: dict[str, tuple[int, int]] = {}
        self._worker = ThreadPoolExecutor(1, "crypten")  # CrypTen computes in one thread, a step at a time
        self.ctx.hold("weights opened", tensors=sorted(card.tensors))

    async def stop(self) -> None:
        for query in self._open.values():
            query.close()
        self._worker.shutdown(wait=False, cancel_futures=True)

    async def forget(self, query: str) -> None:
        self._caches.forget(query)
        self._prepared.pop(query, None)
        if (found := self._open.pop(query, None)) is not None:
            found.close()

    @serve
    async def ranges(self, sender: str) -> list[Any]:
        """Within which the model's numbers lie."""
        return self._ranges.travelling()

    @serve
    async def limit(self, sender: str) -> float:
        """Which no logit of the model exceeds."""
        return self._transformer.limit

    @serve
    async def begin(self, sender: str) -> None:
        """Open the query's channels and agree on seeds with the other node and the dealer."""
        self._client_only(sender)
        if self.ctx.query in self._open:
            raise UnfedError(f"{sender} began a query twice", kind="protocol", party=sender)
        query = self._open[self.ctx.query] = _Query()
        seed = await self.ctx.call(DEALER, "seed")
        if self._rank == 0:
            await self.ctx.send(DEALER, "deal")
        query.session = await asyncio.to_thread(self._meet, query, f"crypten {self.ctx.query}", seed)

    def _meet(self, query: _Query, purpose: str, seed: object) -> Session:
        to_dealer = query.own(self.ctx.channel(DEALER, purpose)) if self._rank == 0 else None
        to_peer = query.own(self.ctx.channel(self._peer, purpose))
        return Session(self._rank, self._peer, DEALER, seed, to_peer, to_dealer)

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

    async def _work(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    def _room(self, start: int) -> int:
        context = self.ctx.model.card.context
        return context - start if context else 1 << 20

    def _session(self, sender: str) -> Session:
        query = self._open.get(self.ctx.query)
        if query is None or query.session is None:
            raise UnfedError(f"{sender} runs a query that it did not begin", kind="protocol", party=sender)
        return query.session

    def _client_only(self, sender: str) -> None:
        if sender != "client":
            raise UnfedError(f"{sender} asked for what only the client may", kind="protocol", party=sender)


class _Query:
    """What a query has open. It may end while its channels are still being opened, in another thread."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self._channels: list[Channel] = []
        self._closed = False

    def own(self, channel: Channel) -> Channel:
        self._channels.append(channel)
        if self._closed:
            channel.close()
        return channel

    def close(self) -> None:
        """End its channels; a thread that waits in one is woken with an error."""
        self._closed = True
        for channel in self._channels:
            channel.close()
