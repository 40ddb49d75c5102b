"""The larger of two numbers, and of two others the one that belongs to it, by one comparison."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from ..blank import blank
from ..session import Deal, Draw
from ..wire import Wire
from .compare import WHOLE, Width, below, deal_keys, read_keys


class Choose(NamedTuple):
    """max(x, 0) and [x < 0]·y, for wires of one shape: what chooses between pairs whose differences are x and y.

    Boyle et al. 2021 (see `dcf`), section 4: a key that pays both masks. Rounds: 0. Bytes: common, 41 a bit and 24 more
    an element.
    """

    width: Width = WHOLE

    def deal(self, deal: Deal, x: Wire, y: Wire) -> tuple[torch.Tensor, torch.Tensor]:
        deal_keys(deal, x, self.width, x, y)
        return blank(*x.shape), blank(*x.shape)

    def read(self, draw: Draw, x: Wire, y: Wire) -> tuple[Any, tuple[torch.Tensor, torch.Tensor]]:
        return read_keys(draw, x, self.width, x, y), (blank(*x.shape), blank(*x.shape))

    def ready(self, party: int, material: Any) -> Any:
        return material

    def compute(self, party: int, material: Any, x: Wire, y: Wire) -> tuple[torch.Tensor, torch.Tensor]:
        width = self.width
        less, of_masks = below(party, material, width.upwards(x.value), width.bounds(0))
        # [x < 0]·x = [x < 0]·v - [x < 0]·r, and likewise for y
        lower, chosen = (
            (less * wire.value.reshape(-1, 1) - of_mask).reshape(x.shape)
            for wire, of_mask in zip((x, y), of_masks, strict=True)
        )
        return x.share(party) - lower, chosen
