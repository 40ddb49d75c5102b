"""Parties of `mpc` that misbehave."""

from __future__ import annotations

import asyncio
import os
import signal

import torch

from unfed.backends.mpc.backend import DEALER, OWNER
from unfed.backends.mpc.node import Node
from unfed.backends.mpc.owner import Owner
from unfed.backends.mpc.scales import Format
from unfed.backends.mpc.secret import SecretNode
from unfed.backends.mpc.weights import Weights
from unfed.plugins import serve


class Greedy(Node):
    """Asks the dealer for the same material twice, as one would who wants to use it again."""

    @serve
    async def prepare(self, sender: str, *, step: int, start: int, tokens: int) -> None:
        await super().prepare(sender, step=step, start=start, tokens=tokens)
        await self.ctx.call("dealer", "material", step=step, start=start, tokens=tokens)


class Misshapen(Node):
    """Sends its peer a share too few."""

    def _run(self, session: object, keys: object) -> tuple[torch.Tensor, torch.Tensor]:
        channel = self.ctx.channel("compute-0", f"shares {self.ctx.query}")
        channel.send(opened=torch.zeros(3, dtype=torch.int64))
        channel.recv()  # what it had sent before it saw ours
        channel.recv()
        raise AssertionError("the peer goes on with what does not fit")


class Dying(Owner):
    """Is killed before it can share anything."""

    async def start(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Stingy(Owner):
    """Keeps a number of the second share back."""

    @serve
    async def second_share(self, sender: str, *, start: int) -> torch.Tensor:
        return (await super().second_share(sender, start=start))[:-1]


class TwoFaced(Owner):
    """Tells either node another format."""

    @serve
    async def format(self, sender: str) -> list[object]:
        ranges, scales, activation = self._format
        return [ranges, scales, activation * (2 if sender == "compute-1" else 1)]


class Curious(SecretNode):
    """Asks for its peer's share."""

    async def start(self) -> None:
        await self.ctx.call(OWNER, "first_share")


class Contrary(SecretNode):
    """Tells the dealer another format than its peer does."""

    async def _weights(self) -> tuple[Format, Weights]:
        format = Format.travelled(await self.ctx.call(OWNER, "format"))
        other = format._replace(activation=2 * format.activation)
        await asyncio.to_thread(self._meet, format)
        await asyncio.sleep(1.0)  # after its peer
        await self.ctx.call(DEALER, "masks", format=list(other))
        raise AssertionError("the dealer believes everything")
