"""Division by a power of two, exact to one step, without the wrap errors of truncating shares."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from ..blank import blank
from ..material import Deal, Draw
from ..ring import BITS, shift
from ..wire import Mask, Wire
from .compare import only_mask

LARGEST = 62
"""Bits of the largest magnitude that may be truncated: |x| < 2^62."""


class Truncate(NamedTuple):
    """x / 2^bits of a freshly opened wire, |x| < 2^62: rounded down or up at random, so that the error has mean zero.

    Dalskov, Escudero and Keller, "Secure Evaluation of Quantized Neural Networks" (PoPETs 2020), section 4: with
    u = x + 2^62 + r, the sum wrapped around the ring exactly where r's highest bit is 1 and u's is 0. The dealer shares
    r >> bits and r's highest bit; the rest is public. The result is a wire of two masks. Rounds: 0. Bytes: 16 an
    element.
    """

    bits: int

    def deal(self, deal: Deal, x: Wire) -> Wire:
        mask = only_mask(x)
        parts = shift(mask, self.bits), shift(mask, BITS - 1)
        for part in parts:
            deal.share(part)
        return _wire(self.bits, blank(*x.shape), parts[0], parts[1], blank(*x.shape))

    def read(self, draw: Draw, x: Wire) -> tuple[Any, Wire]:
        only_mask(x)
        parts = draw.share(*x.shape), draw.share(*x.shape)
        return parts, _wire(self.bits, blank(*x.shape), parts[0], parts[1], blank(*x.shape))

    def ready(self, party: int, material: Any) -> Any:
        return material

    def compute(self, party: int, material: Any, x: Wire) -> Wire:
        lifted = x.value + (1 << LARGEST)
        value = shift(lifted, self.bits) - (1 << (LARGEST - self.bits))
        wrapped = (1 - shift(lifted, BITS - 1)) << (BITS - self.bits)
        low, high = material
        return _wire(self.bits, value, low, high, -wrapped)


def _wire(bits: int, value: torch.Tensor, low: torch.Tensor, high: torch.Tensor, factor: torch.Tensor) -> Wire:
    return Wire(value, (Mask(low), Mask(high, factor, BITS - bits)))
