"""The larger of two numbers, and of two others the one that belongs to it, by one comparison."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from ..blank import blank
from ..material import Deal, Draw
from ..wire import Wire
from .compare import WHOLE, Width
from .sign import chosen, deal_signs, read_signs, ready_signs


class Choose(NamedTuple):
    """max(x, 0) and [x < 0]·y, for wires of one shape: what chooses between pairs whose differences are x and y.

    Boyle et al. 2021 (see `sign.deal_signs`): a key that pays both masks, evaluated once. Rounds: 0. Bytes: common, 41
    a bit less 17 an element.
    """

    width: Width = WHOLE

    def deal(self, deal: Deal, x: Wire, y: Wire) -> tuple[torch.Tensor, torch.Tensor]:
        deal_signs(deal, x, self.width, x, y)
        return blank(*x.shape), blank(*x.shape)

    def read(self, draw: Draw, x: Wire, y: Wire) -> tuple[Any, tuple[torch.Tensor, torch.Tensor]]:
        return read_signs(draw, x, self.width, x, y), (blank(*x.shape), blank(*x.shape))

    def ready(self, party: int, material: Any) -> Any:
        return ready_signs(material)

    def compute(self, party: int, material: Any, x: Wire, y: Wire) -> tuple[torch.Tensor, torch.Tensor]:
        larger, further = chosen(party, material, self.width, x, y)
        return larger, further
