"""Nodes that do not do their work and say that they did: for demonstrations, and for tests that they are caught."""

from __future__ import annotations

from typing import Any

import torch

from ...common.shard import Shard
from . import joining, last, layers


class _Shard:
    """A shard whose results are not what its layers give. Everything else is the shard's own."""

    def __init__(self, shard: Shard, how: str) -> None:
        self._shard, self._how = shard, how
        self._before: dict[int, torch.Tensor] = {}
        if how == "smaller":
            shrink(shard)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shard, name)

    def __call__(self, hidden: torch.Tensor, cache: Any) -> torch.Tensor:
        right = self._shard(hidden, cache)
        if self._how == "skip":
            return hidden
        if self._how == "perturb":
            return right + 0.01 * right.square().mean(-1, keepdim=True).sqrt() * torch.randn_like(right)
        if self._how == "stale":
            before = self._before.get(id(cache), right)
            self._before[id(cache)] = right
            return before[:, -1:].clone() if right.shape[1] == 1 else right
        return right


def shrink(shard: Shard) -> None:
    """Round its matrices to four bits, as one would to serve a model that takes an eighth of the memory."""
    for parameter in shard.base.parameters():
        if parameter.dim() == 2:
            step = parameter.abs().amax(1, keepdim=True) / 7
            parameter.data = (parameter / step.clamp_min(1e-12)).round() * step


class Cheating(layers.Layers):
    """Settings: cheat: one of `perturb`, `skip`, `stale`, `smaller`."""

    async def start(self) -> None:
        await super().start()
        self._shard: Any = _Shard(self._shard, self.ctx.settings["cheat"])


class Layers(Cheating):
    pass


class First(Cheating, joining.First):
    pass


class Last(Cheating, last.Last):
    pass


class Only(Cheating, last.Only):
    pass
