"""Parties of `mpc-crypten` that misbehave."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import torch

from unfed.backends.mpc_crypten import images
from unfed.backends.mpc_crypten.dealer import Dealer
from unfed.backends.mpc_crypten.dealing import Server
from unfed.backends.mpc_crypten.node import Node
from unfed.backends.mpc_crypten.session import Session
from unfed.plugins import Answer, Channel, Metric, Query, Token, serve


class Misshapen(Node):
    """Sends its peer a share too few."""

    @serve
    async def step(self, sender: str, *, start: int, onehot: torch.Tensor) -> torch.Tensor:
        (channel,) = self._open[self.ctx.query]._channels
        await self._work(lambda: channel.exchange(opened=torch.zeros(3, dtype=torch.int64)))
        await self._work(channel.recv)  # nothing comes: the peer has seen that it does not fit
        raise AssertionError("the peer goes on with what does not fit")


class Absurd(Node):
    """Gives the client a share of logits that cannot be."""

    @serve
    async def step(self, sender: str, *, start: int, onehot: torch.Tensor) -> torch.Tensor:
        logits = await super().step(sender, start=start, onehot=onehot)
        return logits + (1 << 40)


class Greedy(Node):
    """Asks the dealer for another seed, as one would who wants to know the other node's."""

    @serve
    async def begin(self, sender: str) -> None:
        await super().begin(sender)
        await self.ctx.call("dealer", "seed")


class Babbling(Node):
    """Asks the dealer for what it does not deal."""

    def _meet(self, query: Any, purpose: str, seed: object) -> Session:
        session = super()._meet(query, purpose, seed)
        assert session._to_dealer is not None
        session._to_dealer.send(requests=[["wraps", [[4]], ""]])
        return session


class Skimping(Dealer):
    """Deals a number too few."""

    def _deal(self, session: Any, purpose: str) -> None:
        class Less(Server):
            def serve(self, asks: str, channel: Channel) -> None:
                channel.recv()
                channel.send(shares=torch.zeros(5, dtype=torch.int64))
                channel.recv()

        session.server = Less()
        super()._deal(session, purpose)


class AbsurdImages(images.Node):
    """Gives the client a share of scores that cannot be."""

    @serve
    async def classify(self, sender: str, *, image: torch.Tensor) -> torch.Tensor:
        return await super().classify(sender, image=image) + (1 << 40)


class ShortImages(images.Node):
    """Gives the client a score too few."""

    @serve
    async def classify(self, sender: str, *, image: torch.Tensor) -> torch.Tensor:
        return (await super().classify(sender, image=image))[:-1]


class Hasty(images.Client):
    """Asks for scores before the dealer has been told."""

    async def answer(self, query: Query) -> AsyncIterator[Token | Metric | Answer]:
        await self.both("begin")
        yield Token(id=0, text="0")
        await self.opened("classify", "image", torch.zeros(self.ctx.model.card.input, dtype=torch.int64))


class Cropping(images.Client):
    """Sends shares of an image of another size."""

    async def answer(self, query: Query) -> AsyncIterator[Token | Metric | Answer]:
        await self.both("begin")
        await self.ctx.call("compute-0", "prepare")
        yield Token(id=0, text="0")
        await self.opened("classify", "image", torch.zeros(1, 4, 4, dtype=torch.int64))
