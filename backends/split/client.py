"""The client of `split`: tokenises, embeds, and takes each token from what comes back from the last node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import torch

from unfed.plugins import Answer, ClientRole, Metric, Query, Token, UnfedError, serve

from ..common.ends import Embedding, Head
from ..common.generation import Generation
from ..common.hidden import Hidden
from ..common.sampling import Sampler
from ..common.text import Text


class Client(ClientRole):
    async def start(self) -> None:
        model, settings = self.ctx.model, self.ctx.settings
        self._first: str = settings["first"]
        self._last: str = settings["last"]
        self._text = Text.of(model.card)
        self._generation = Generation.of(model.folder, model.card.name)
        self._wire = Hidden(settings["wire_dtype"], model.card.hidden)
        self._embedding = Embedding(model) if settings["embedding"] else None
        self._head = Head(model) if settings["head"] else None
        self._results: dict[str, asyncio.Queue[torch.Tensor]] = {}
        if self._head is not None:
            self._head(torch.zeros(1, 1, model.card.hidden))  # sets up what the libraries set up on first use

    async def forget(self, query: str) -> None:
        self._results.pop(query, None)

    async def answer(self, query: Query) -> AsyncIterator[Token | Metric | Answer]:
        with self.ctx.phase("tokenise"):
            prompt = self._text.encode(query.prompt)
        sampler = Sampler.of(query, self._generation, prompt, self.ctx.model.card.context)
        results = self._results[query.id] = asyncio.Queue()
        stream, start = self._text.stream(), len(prompt)
        try:
            with self.ctx.phase("prefill"):
                await self._send(torch.tensor([prompt]), 0)
                logits = await results.get()
            with self.ctx.phase("decode"):
                while True:
                    token = sampler.take(logits)
                    if sampler.stopped is None:  # the nodes go on while the token is shown
                        await self._send(torch.tensor([[token]]), start)
                        start += 1
                    text = stream.add(token) + (stream.finish() if sampler.stopped is not None else "")
                    yield Token(id=token, text=text, logits=logits.numpy().tobytes() if query.logits else None)
                    if sampler.stopped is not None:
                        break
                    logits = await results.get()
        finally:
            self._results.pop(query.id, None)
        yield Answer(text=stream.shown, token_ids=tuple(sampler.tokens), stopped=sampler.stopped)

    async def _send(self, ids: torch.Tensor, start: int) -> None:
        """Ids [1, t] to the first node, embedded where that is our part."""
        if self._embedding is None:
            await self.ctx.send(self._first, "tokens", ids=ids, start=start)
        else:
            hidden = self._wire.pack(self._embedding(ids, start))
            await self.ctx.send(self._first, "forward", hidden=hidden, start=start)

    @serve
    async def hidden(self, sender: str, *, hidden: torch.Tensor) -> None:
        """The last layer's output [1, 1, width] at the last position."""
        results = self._expect(sender, self._head is not None)
        assert self._head is not None
        results.put_nowait(self._head(self._wire.unpack(hidden, sender, 1)))

    @serve
    async def logits(self, sender: str, *, logits: torch.Tensor) -> None:
        """Logits [vocab] float32 after the last position."""
        results = self._expect(sender, self._head is None)
        vocab = self.ctx.model.card.vocab
        if logits.shape != (vocab,) or logits.dtype != torch.float32:
            raise UnfedError(
                f"{sender} sent logits of shape {list(logits.shape)} ({logits.dtype}), expected [{vocab}] float32",
                kind="protocol",
                party=sender,
            )
        results.put_nowait(logits)

    def _expect(self, sender: str, welcome: bool) -> asyncio.Queue[torch.Tensor]:
        """Where results of the current query go. Raises UnfedError (`protocol`) for one that nobody waits for."""
        results = self._results.get(self.ctx.query)
        if sender != self._last or not welcome or results is None:
            raise UnfedError(f"{sender} sent a result that nobody waits for", kind="protocol", party=sender)
        return results
