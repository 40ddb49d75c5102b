"""The client of `mpc-crypten`: shares one-hot tokens, adds the shares of logits up, and chooses each token."""

from __future__ import annotations

from collections.abc import AsyncIterator

import torch

from unfed.plugins import Answer, Metric, Query, Token

from ..common.generation import Generation
from ..common.sampling import Sampler
from ..common.text import Text
from .backend import NODES
from .sharing import Sharing


class Client(Sharing):
    async def start(self) -> None:
        await super().start()
        model = self.ctx.model
        self._text = Text.of(model.card)
        self._generation = Generation.of(model.folder, model.card.name)

    async def answer(self, query: Query) -> AsyncIterator[Token | Metric | Answer]:
        with self.ctx.phase("tokenise"):
            prompt = self._text.encode(query.prompt)
        sampler = Sampler.of(query, self._generation, prompt, self.ctx.model.card.context)
        stream = self._text.stream()
        with self.ctx.phase("seeds", "offline"):
            await self.both("begin")
        ids, start = prompt, 0
        while sampler.stopped is None:
            async with self.turn:  # steps of two queries reach both nodes in one order, whatever is in their way
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
        """Logits [vocab] float32 after `ids`."""
        return await self.opened(
            "step", "onehot", torch.nn.functional.one_hot(torch.tensor(ids), self.ctx.model.card.vocab), start=start
        )
