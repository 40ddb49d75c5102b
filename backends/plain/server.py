"""The server of `plain`: the whole model in one process, and the reference's generation loop."""

from __future__ import annotations

import asyncio

import torch

from unfed.plugins import Role, UnfedError, serve

from ..common.generation import Generation
from ..common.sampling import Sampler
from ..common.whole import Whole


class Server(Role):
    async def start(self) -> None:
        card = self.ctx.model.card
        self._whole = Whole(card)
        self._generation = Generation.of(self.ctx.model.folder, card.name)
        self._open: set[str] = set()
        self.ctx.hold("weights opened", tensors=sorted(card.tensors))

    async def forget(self, query: str) -> None:
        self._open.discard(query)  # which ends its loop

    @serve
    async def generate(
        self,
        sender: str,
        *,
        prompt: torch.Tensor,
        max_new_tokens: int,
        temperature: float,
        top_p: float,
        seed: int,
        logits: bool,
    ) -> dict[str, object]:
        """Answer `prompt` [t] int64, sending each token as it comes; returns how many there were and why it stopped."""
        self._check(sender, prompt)
        card, query = self.ctx.model.card, self.ctx.query
        sampler = Sampler(
            self._generation,
            prompt.tolist(),
            max_new_tokens=max_new_tokens,
            context=card.context,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
        )
        state, step = self._whole.begin(), prompt[None]
        self._open.add(query)
        try:
            while sampler.stopped is None:
                scores = self._whole.step(state, step)
                self.ctx.contribute(layer_tokens=card.layers * step.shape[1])
                self.ctx.hold("logits", logits=scores)
                token = sampler.take(scores)
                step, last = torch.tensor([[token]]), sampler.stopped is not None
                if logits:
                    await self.ctx.send(sender, "scored", id=token, last=last, logits=scores)
                else:
                    await self.ctx.send(sender, "token", id=token, last=last)
                await asyncio.sleep(0)  # other queries, and word that this one was cancelled
                if query not in self._open:
                    raise UnfedError("the query was cancelled", kind="cancelled")
        finally:
            self._open.discard(query)
        self.ctx.hold("output", token_ids=sampler.tokens)
        return {"stopped": sampler.stopped, "tokens": len(sampler.tokens)}

    def _check(self, sender: str, prompt: torch.Tensor) -> None:
        card = self.ctx.model.card
        if prompt.dtype != torch.int64 or prompt.dim() != 1 or not len(prompt):
            wrong = f"of shape {list(prompt.shape)} ({prompt.dtype}), expected [tokens] int64"
        elif 0 < card.context < len(prompt):
            wrong = f"of {len(prompt)} tokens, and the context is {card.context}"
        elif int(prompt.min()) < 0 or int(prompt.max()) >= card.vocab:
            wrong = "with tokens that the model does not know"
        else:
            return
        raise UnfedError(f"{sender} sent a prompt {wrong}", kind="protocol", party=sender)
