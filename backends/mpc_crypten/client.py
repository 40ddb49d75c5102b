"""The client of `mpc-crypten`: shares one-hot tokens, adds the shares of logits up, and chooses each token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import torch

from unfed.plugins import Answer, ClientRole, Metric, Query, Token, UnfedError

from ..common.generation import Generation
from ..common.sampling import Sampler
from ..common.text import Text
from ..mpc.engine import ring
from .backend import NODES
from .transformer import PRECISION


class Client(ClientRole):
    async def start(self) -> None:
        model = self.ctx.model
        self._text = Text.of(model.card)
        self._generation = Generation.of(model.folder, model.card.name)
        self._limit = max(await self._both("limit"))
        self._turn = asyncio.Lock()

    async def answer(self, query: Query) -> AsyncIterator[Token | Metric | Answer]:
        with self.ctx.phase("tokenise"):
            prompt = self._text.encode(query.prompt)
        sampler = Sampler.of(query, self._generation, prompt, self.ctx.model.card.context)
        stream = self._text.stream()
        with self.ctx.phase("seeds", "offline"):
            await self._both("begin")
        ids, start = prompt, 0
        while sampler.stopped is None:
            async with self._turn:  # steps of two queries reach both nodes in one order, whatever is in their way
                with self.ctx.phase("randomness", "offline"):
                    await self.ctx.call(NODES[0], "prepare", start=start, tokens=len(ids))
                with self.ctx.phase("decode" if start else "prefill"):
                    logits = await self._run(ids, start)
            start += len(ids)
            token = sampler.take(logits)
            ids = [token]
            text = stream.add(token) + (stream.finish() if sampler.stopped is not None else "")
            yield Token(id=token, text=text, logits=logits.numpy().tobytes() if query.logits else None)
        yield Answer(text=stream.shown, token_ids=tuple(sampler.tokens), stopped=sampler.stopped)

    async def _run(self, ids: list[int], start: int) -> torch.Tensor:
        """Logits [vocab] float32 after `ids`.

        Raises:
            UnfedError: they are larger than this model's can be, so that something left CrypTen's range.
        """
        vocab = self.ctx.model.card.vocab
        shares = ring.share(torch.nn.functional.one_hot(torch.tensor(ids), vocab))
        first, second = await asyncio.gather(
            *(self.ctx.call(node, "step", start=start, onehot=share) for node, share in zip(NODES, shares, strict=True))
        )
        for node, share in zip(NODES, (first, second), strict=True):
            if not (isinstance(share, torch.Tensor) and share.shape == (vocab,) and share.dtype is torch.int64):
                raise UnfedError(f"{node} sent what are no logits", kind="protocol", party=node)
        logits = ring.decode(first + second, PRECISION).float()
        if float(logits.abs().max()) > self._limit:
            raise UnfedError(
                "the logits are larger than this model's can be: a number left CrypTen's range or was cut wrongly",
                kind="role",
                hint="ask again; if it fails again, use backend plain, split or mpc",
            )
        return logits

    async def _both(self, method: str) -> list[Any]:
        return await asyncio.gather(*(self.ctx.call(node, method) for node in NODES))
