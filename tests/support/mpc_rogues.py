"""Parties of `mpc` that misbehave."""

from __future__ import annotations

import torch

from unfed.backends.mpc.node import Node
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
