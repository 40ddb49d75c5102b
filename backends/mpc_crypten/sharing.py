"""What every client of `mpc-crypten` does: shares its input between the nodes and adds up their shares of logits."""

from __future__ import annotations

import asyncio
from typing import Any

import torch

from unfed.plugins import ClientRole, UnfedError

from ..mpc.engine import ring
from .backend import NODES
from .transformer import PRECISION


class Sharing(ClientRole):
    """A client. `turn` is held while a step runs: those of two queries then reach both nodes in one order."""

    async def start(self) -> None:
        self._limit = max(await self.both("limit"))
        self.turn = asyncio.Lock()

    async def both(self, method: str) -> list[Any]:
        """What both nodes reply."""
        return await asyncio.gather(*(self.ctx.call(node, method) for node in NODES))

    async def opened(self, method: str, name: str, secret: torch.Tensor, **fields: Any) -> torch.Tensor:
        """Logits [vocab] float32 of a step over `secret` int64, of which each node is sent a share under `name`.

        Raises:
            UnfedError: a node sends something else (`protocol`), or they are larger than this model's can be, so that
                something left CrypTen's range.
        """
        vocab, shares = self.ctx.model.card.vocab, ring.share(secret)
        first, second = await asyncio.gather(
            *(self.ctx.call(node, method, **{name: share}, **fields) for node, share in zip(NODES, shares, strict=True))
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
