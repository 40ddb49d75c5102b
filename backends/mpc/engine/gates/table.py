"""Functions of one number in a known range, by tables that expand from short keys ahead of time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from .. import dpf
from ..kernels import compiled
from ..ring import shift
from ..session import Deal, Draw, blank
from ..wire import Wire
from .compare import only_mask


class Bins(NamedTuple):
    """A public function f(x) ≈ (start + slope·d) · 2^-scale, where d is the way from the bin's edge in 2^-fine bins.

    Attributes:
        bits: 2^bits bins cover -2^(range - 1) <= x < 2^(range - 1) less one bin, which may be taken for the lowest.
        range: bits of x that matter, its sign included.
        fine: bits of x within its bin that count; what lies below is dropped.
        starts, slopes: uint64 [2^bits], by bin; bins of negative numbers stand behind the others.
        scale: bits of the result's fraction.
        error: largest absolute error against the function it was made from.
    """

    bits: int
    range: int
    fine: int
    starts: Any
    slopes: Any
    scale: int
    error: float


def bins(
    function: Callable[[np.ndarray], np.ndarray], fraction: int, range: int, bits: int, scale: int, fine: int = 10
) -> Bins:
    """Approximate `function` of real numbers.

    Args:
        fraction: bits of the argument's fraction.
        range: bits of the argument that matter, sign included: |x| < 2^(range - 1 - fraction), less one bin.
        fine: more of them tell the argument better, and make the slopes coarser at the same scale.
    """
    fine = min(fine, range - bits)
    count = 1 << bits
    width = 2.0 ** (range - bits - fraction)
    place = np.arange(count)
    place = np.where(place >= count // 2, place - count, place)
    # Of value and mask the bins are subtracted, and the rests: x may lie as far below its bin's edge as above it.
    sample = np.linspace(-1, 1, 33)[None, :]
    wanted = function((place[:, None] + sample) * width)
    left, middle, right = wanted[:, 0], wanted[:, 16], wanted[:, -1]
    slope = np.round((right - left) / 2 * 2.0 ** (scale - fine))
    start = np.round(((left + right) / 2 + middle) / 2 * 2.0**scale)
    found = (start[:, None] + slope[:, None] * sample * 2.0**fine) * 2.0**-scale
    starts, slopes = (column.astype(np.int64).view(np.uint64) for column in (start, slope))
    return Bins(bits, range, fine, starts, slopes, scale, float(np.abs(found - wanted).max()))


class Table(NamedTuple):
    """f(x) for x within the range of `bins`. Outside it is f of something else: prove the range, or guard it.

    A point function whose place is the mask's bin and whose payload is 1 and the mask's rest within it, turned by the
    public bin and multiplied with the table: Boyle, Gilboa and Ishai, "Secure Computation with Preprocessing via
    Function Secret Sharing" (TCC 2019), section 4.1. Common material of 17 bytes a level and
    16 more an element; expanded ahead of time.
    """

    bins: Bins

    def deal(self, deal: Deal, x: Wire) -> torch.Tensor:
        place, rest = self._split(only_mask(x))
        payload = np.stack([np.ones_like(rest), rest], 1)
        deal.common(*dpf.generate(place, payload, self.bins.bits, *deal.roots(len(place))))
        return blank(*x.shape)

    def read(self, draw: Draw, x: Wire) -> tuple[Any, torch.Tensor]:
        count, bits = x.value.numel(), self.bins.bits
        root = draw.roots(count)
        correction = dpf.Correction(
            draw.common(np.uint64, count, bits, 2), draw.common(np.uint8, count, bits), draw.common(np.uint64, count, 2)
        )
        return (root, correction), blank(*x.shape)

    def ready(self, party: int, material: Any) -> Any:
        return dpf.expand(party, *material)

    def compute(self, party: int, material: Any, x: Wire) -> torch.Tensor:
        place, rest = self._split(x.value)
        out = np.empty(len(place), np.uint64)
        _look_up(material, place, rest, self.bins.starts, self.bins.slopes, out)
        return torch.from_numpy(out.view(np.int64)).reshape(x.shape)

    def _split(self, value: torch.Tensor) -> tuple[Any, Any]:
        """Bin, and place within it."""
        fine = self.bins.fine
        top = shift(value.reshape(-1), self.bins.range - self.bins.bits - fine).contiguous().numpy().view(np.uint64)
        bin = (top >> np.uint64(fine)) & np.uint64((1 << self.bins.bits) - 1)
        return bin, top & np.uint64((1 << fine) - 1)


@compiled
def _look_up(points: Any, place: Any, rest: Any, starts: Any, slopes: Any, out: Any) -> None:
    """Σ over bins of [mask's bin = bin]·(start + slope·(rest - mask's rest)), at the bin of value less mask."""
    last = np.uint64(len(starts) - 1)
    for e in range(len(place)):
        at, offset, total = place[e], rest[e], np.uint64(0)
        for bin in range(len(starts)):
            where = (at - np.uint64(bin)) & last
            total += points[e, bin, 0] * (starts[where] + slopes[where] * offset) - points[e, bin, 1] * slopes[where]
        out[e] = total
