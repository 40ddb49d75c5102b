"""`plain` on a classifier of images: the client sends the pixels, the server runs the model."""

from __future__ import annotations

from collections.abc import AsyncIterator

import torch

from unfed.plugins import Answer, ClientRole, Metric, Query, Role, Token, UnfedError, serve

from ..common.classifier import Network, answered, check_scores, pixels


class Client(ClientRole):
    async def answer(self, query: Query) -> AsyncIterator[Token | Metric | Answer]:
        card, image = self.ctx.model.card, pixels(query)
        with self.ctx.phase("classify"):
            scores = check_scores(await self.ctx.call("server", "classify", image=image), card, "server")
        for event in answered(card, scores, query):
            yield event


class Server(Role):
    async def start(self) -> None:
        card = self.ctx.model.card
        self._network = Network.of(self.ctx.model)
        self._classify(torch.zeros(card.input))  # so that the first query does not pay for what is set up on first use
        self.ctx.hold("weights opened", tensors=sorted(card.tensors))

    @serve
    async def classify(self, sender: str, *, image: torch.Tensor) -> torch.Tensor:
        """Scores [classes] float32 of an image [channels, height, width] float32."""
        card = self.ctx.model.card
        if image.dtype is not torch.float32 or image.shape != card.input:
            raise UnfedError(
                f"{sender} sent an image of shape {list(image.shape)} ({image.dtype}), not {list(card.input)} float32",
                kind="protocol",
                party=sender,
            )
        scores = self._classify(image)
        self.ctx.contribute(layer_tokens=card.layers)
        self.ctx.hold("scores", scores=scores)
        return scores

    @torch.inference_mode()
    def _classify(self, image: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self._network(image[None])[0]
        return scores
