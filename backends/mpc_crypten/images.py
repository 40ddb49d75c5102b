"""`mpc-crypten` on a classifier of images: the client shares the pixels, the nodes run the model on shares."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import torch

from unfed.plugins import Answer, Classifier, Metric, Query, Token, UnfedError, serve

from ..common.classifier import answered, pixels
from ..mpc.engine import ring
from .backend import NODES
from .classifier import Network
from .library import MPCTensor
from .rank import Rank
from .rehearsal import rehearse
from .sharing import Sharing
from .transformer import PRECISION


class Client(Sharing):
    async def answer(self, query: Query) -> AsyncIterator[Token | Metric | Answer]:
        image = ring.encode(pixels(query), PRECISION)
        with self.ctx.phase("seeds", "offline"):
            await self.both("begin")
        async with self.turn:
            with self.ctx.phase("randomness", "offline"):
                await self.ctx.call(NODES[0], "prepare")
            with self.ctx.phase("classify"):
                scores = await self.opened("classify", "image", image)
        for event in answered(self.ctx.model.card, scores, query):
            yield event


class Node(Rank):
    async def start(self) -> None:
        await super().start()
        card = self.ctx.model.card
        classifier = Classifier.of(card.config, card.name)
        self._network = Network(classifier, self.ctx.model.tensors(*classifier.weights))
        if self._rank == 0:
            self._requests = rehearse(partial(self._classify, torch.zeros(card.input, dtype=torch.int64)))
        self._prepared: set[str] = set()

    async def forget(self, query: str) -> None:
        self._prepared.discard(query)
        await super().forget(query)

    @serve
    async def limit(self, sender: str) -> float:
        """Which no score of the model exceeds."""
        return self._network.limit

    @serve
    async def prepare(self, sender: str) -> None:
        """At the first rank: have the dealer make what an image uses up."""
        self._client_only(sender)
        session = self._session(sender)
        if self._rank or self.ctx.query in self._prepared:
            raise UnfedError(f"{sender} prepares what cannot be", kind="protocol", party=sender)
        self._prepared.add(self.ctx.query)
        await self._work(lambda: session.prepare(self._requests))

    @serve
    async def classify(self, sender: str, *, image: torch.Tensor) -> torch.Tensor:
        """A share of the scores [classes] for a share of an image [channels, height, width], both int64."""
        self._client_only(sender)
        session, card = self._session(sender), self.ctx.model.card
        if image.shape != card.input or image.dtype is not torch.int64:
            raise UnfedError(f"{sender} sent what is no share of an image", kind="protocol", party=sender)
        if self._rank == 0 and self.ctx.query not in self._prepared:
            raise UnfedError(f"{sender} asks before it has prepared", kind="protocol", party=sender)
        self._prepared.discard(self.ctx.query)
        scores: torch.Tensor = await self._work(lambda: session.run(partial(self._classify, image)))
        self.ctx.contribute(layer_tokens=card.layers)
        return scores

    def _classify(self, image: torch.Tensor) -> torch.Tensor:
        shared = MPCTensor.from_shares(image[None], precision=PRECISION)
        share: torch.Tensor = self._network.scores(shared).share
        return share
