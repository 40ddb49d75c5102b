"""Functions of one number in a known range, by tables that expand from short keys ahead of time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from .. import dpf
from ..blank import blank
from ..kernels import compiled
from ..material import Deal, Draw
from ..ring import shift, words
from ..wire import Wire
from .compare import only_mask


class Bins(NamedTuple):
    """A public function f(x) ≈ Σ coefficients[j] · d^j · 2^-scale, d being the way from the bin's edge in 2^-fine bins.

    Attributes:
        bits: 2^bits bins cover -2^(range - 1) <= x < 2^(range - 1) less one bin, which may be taken for the lowest.
        range: bits of x that matter, its sign included.
        fine: bits of x within its bin that count; what lies below is dropped.
        coefficients: uint64 [degree + 1, 2^bits], by bin; bins of negative numbers stand behind the others.
        scale: bits of the result's fraction.
        error: largest absolute error against the function it was made from.
    """

    bits: int
    range: int
    fine: int
    coefficients: Any
    scale: int
    error: float

    @property
    def words(self) -> int:
        """What keys pay: powers of the mask's way from its bin's edge, from 0 to the degree."""
        return len(self.coefficients)


LARGEST_DEGREE = 3


def bins(
    function: Callable[[np.ndarray], np.ndarray],
    fraction: int,
    range: int,
    bits: int,
    scale: int,
    *,
    degree: int = 2,
    fine: int = 10,
) -> Bins:
    """Approximate `function` of real numbers.

    Args:
        fraction: bits of the argument's fraction.
        range: bits of the argument that matter, sign included: |x| < 2^(range - 1 - fraction), less one bin.
        degree: 1 to 3, of the polynomial in each bin.
        fine: more of them tell the argument better; coefficients are rounded to steps of 2^(degree · fine - scale).
    """
    if not 1 <= degree <= LARGEST_DEGREE:
        raise ValueError(f"a table of degree {degree} is none of ours: 1 to {LARGEST_DEGREE}")
    fine = min(fine, range - bits)
    count = 1 << bits
    width = 2.0 ** (range - bits - fraction)
    place = np.arange(count)
    place = np.where(place >= count // 2, place - count, place)
    # Of value and mask the bins are subtracted, and the rests: x may lie as far below its bin's edge as above it.
    sample = np.cos(np.pi * (np.arange(33) + 0.5) / 33)
    wanted = function((place[:, None] + sample) * width)
    coefficients, found = np.empty((degree + 1, count)), np.zeros(wanted.shape)
    for power in (3, 2, 1, 0)[LARGEST_DEGREE - degree :]:  # what rounding one changes is made good by those below it
        fitted = np.polynomial.chebyshev.chebfit(sample, (wanted - found).T, power)
        step = 2.0 ** (scale - power * fine)
        coefficients[power] = np.round(fitted[power] * 2.0 ** max(power - 1, 0) * step)  # of T_n: 2^(n - 1)·d^n
        found += coefficients[power][:, None] / step * sample**power
    table = coefficients.astype(np.int64).view(np.uint64)
    return Bins(bits, range, fine, table, scale, float(np.abs(found - wanted).max()))


class Table(NamedTuple):
    """f(x) for x within the range of `bins`. Outside it is f of something else: prove the range, or guard it.

    A point function whose place is the mask's bin and whose payload is the powers of the mask's rest within it, turned
    by the public bin and multiplied with the table: Boyle, Gilboa and Ishai, "Secure Computation with Preprocessing via
    Function Secret Sharing" (TCC 2019), section 4.1. Rounds: 0. Bytes an element: common, 17 a level and 8 more a
    power, from 0 to the degree; expanded ahead of time to 8 a bin and power.
    """

    bins: Bins

    def deal(self, deal: Deal, x: Wire) -> torch.Tensor:
        place, rest = self._split(only_mask(x))
        payload = np.stack([rest**power for power in range(self.bins.words)], 1)
        deal.common(*dpf.generate(place, payload, self.bins.bits, *deal.roots(len(place))))
        return blank(*x.shape)

    def read(self, draw: Draw, x: Wire) -> tuple[Any, torch.Tensor]:
        count, bits = x.value.numel(), self.bins.bits
        root = draw.roots(count)
        correction = dpf.Correction(
            draw.common(np.uint64, count, bits, 2),
            draw.common(np.uint8, count, bits),
            draw.common(np.uint64, count, self.bins.words),
        )
        return (root, correction), blank(*x.shape)

    def ready(self, party: int, material: Any) -> Any:
        return dpf.expand(party, *material)

    def compute(self, party: int, material: Any, x: Wire) -> torch.Tensor:
        place, rest = self._split(x.value)
        out = np.empty(len(place), np.uint64)
        _look_up(material, place, rest, self.bins.coefficients, out)
        return torch.from_numpy(out.view(np.int64)).reshape(x.shape)

    def _split(self, value: torch.Tensor) -> tuple[Any, Any]:
        """Bin, and place within it."""
        fine = self.bins.fine
        top = words(shift(value.reshape(-1), self.bins.range - self.bins.bits - fine))
        bin = (top >> np.uint64(fine)) & np.uint64((1 << self.bins.bits) - 1)
        return bin, top & np.uint64((1 << fine) - 1)


@compiled
def _look_up(points: Any, place: Any, rest: Any, table: Any, out: Any) -> None:
    """Σ over bins b of [mask's bin = b]·p(rest - mask's rest), with the p of the bin of value less mask.

    p(t - m) = Σ (-m)^j / j! · p^(j)(t), and points hold shares of m^j where the mask lies, of zero elsewhere.
    """
    degree, last = len(table) - 1, np.uint64(table.shape[1] - 1)
    two, three = np.uint64(2), np.uint64(3)
    for e in range(len(place)):
        at, t, total = place[e], rest[e], np.uint64(0)
        for bin in range(table.shape[1]):
            where = (at - np.uint64(bin)) & last
            if degree == 1:
                total += (
                    points[e, bin, 0] * (table[0, where] + table[1, where] * t) - points[e, bin, 1] * table[1, where]
                )
                continue
            c, d = table[2, where], table[degree, where] if degree == 3 else np.uint64(0)
            value = ((d * t + c) * t + table[1, where]) * t + table[0, where]
            slope = (three * d * t + two * c) * t + table[1, where]
            bent = three * d * t + c
            total += points[e, bin, 0] * value - points[e, bin, 1] * slope + points[e, bin, 2] * bent
            if degree == 3:
                total -= points[e, bin, 3] * d
        out[e] = total
