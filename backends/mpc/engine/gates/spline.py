"""Piecewise linear functions with knots anywhere, so that a *relative* error can be bounded over a wide range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from ..ring import BITS, shift
from ..session import Deal, Draw, blank
from ..wire import Wire
from .compare import below, deal_keys, read_keys


class Pieces(NamedTuple):
    """A public function f(x) ≈ (start + slope·y) · 2^-scale on knots[i] <= y < knots[i + 1], where y = x >> drop.

    Attributes:
        drop: low bits of the argument that do not count.
        knots: int64 [1, K + 1], ascending, not negative.
        starts, slopes: int64 [K].
        scale: bits of the result's fraction.
        error: largest relative error against the function it was made from, dropped bits included.
    """

    drop: int
    knots: torch.Tensor
    starts: torch.Tensor
    slopes: torch.Tensor
    scale: int
    error: float


SLOPE = 9
"""Bits of the flattest slope."""


def relative(
    function: Callable[[np.ndarray], np.ndarray], lowest: int, highest: int, each: int, kept: int = 14
) -> Pieces:
    """Approximate a positive, falling, convex `function` of ring elements from `lowest` to `highest` (both included).

    Args:
        each: pieces per doubling of x; the error falls with its square.
        kept: bits kept of the smallest argument: dropping the others changes it by one part in 2^kept.
    Raises:
        ValueError: the range is too wide for 62 bits.
    """
    drop = max(0, lowest.bit_length() - kept)
    lowest, highest = lowest >> drop, (highest >> drop) + 2  # the last bit may be rounded up
    count = int(np.ceil(each * np.log2(highest / lowest)))
    knots = np.unique(np.round(lowest * (highest / lowest) ** (np.arange(count + 1) / count)).astype(np.int64))
    knots[0], knots[-1] = lowest, highest
    left, right = knots[:-1].astype(np.float64), knots[1:].astype(np.float64)

    def of(y: np.ndarray) -> np.ndarray:
        return function((y + 0.5) * 2.0**drop if drop else y)

    steepness = (of(right) - of(left)) / (right - left)
    scale = int(np.ceil(SLOPE - np.log2(-steepness[-1])))
    if np.log2(of(left[:1])[0]) + scale > 61:
        raise ValueError(f"a range from {lowest << drop} to {highest << drop} is too wide for one approximation")
    slope = np.round(steepness * 2.0**scale)
    middle = (left + right) / 2
    # The chord lies above a convex function; half of the largest gap between them is taken off.
    gap = (of(left) + of(right)) / 2 - of(middle)
    start = np.round((of(left) - gap / 2) * 2.0**scale - slope * left)
    sample = np.floor(left[:, None] + (right - left)[:, None] * np.linspace(0, 1, 17)[None, :-1])
    found = (start[:, None] + slope[:, None] * sample) * 2.0**-scale
    ends = (sample * 2.0**drop, (sample + 1) * 2.0**drop - 1) if drop else (sample,)
    error = max(float(np.abs(found / function(end) - 1).max()) for end in ends)
    return Pieces(
        drop,
        torch.from_numpy(knots)[None],
        torch.from_numpy(start.astype(np.int64)),
        torch.from_numpy(slope.astype(np.int64)),
        scale,
        error,
    )


class Spline(NamedTuple):
    """Shares of f(x), at the scale of `pieces`, and of [x lies outside of its knots], where f is 0; for any x.

    Boyle et al. 2021 (see `dcf`), section 4: one key, evaluated once for each knot. Material as in `compare`.
    """

    pieces: Pieces

    def deal(self, deal: Deal, x: Wire) -> Any:
        deal_keys(deal, x, self.pieces.drop)
        return blank(*x.shape), blank(*x.shape)

    def read(self, draw: Draw, x: Wire) -> tuple[Any, Any]:
        return read_keys(draw, x, self.pieces.drop), (blank(*x.shape), blank(*x.shape))

    def ready(self, party: int, material: Any) -> Any:
        return material

    def compute(self, party: int, material: Any, x: Wire) -> Any:
        drop, knots, starts, slopes, *_ = self.pieces
        value = shift(x.value.reshape(-1), drop)
        found = below(party, material, value, knots)
        within, parts = (
            found.one.diff(dim=1),
            [part.diff(dim=1) @ slopes for part in found.parts],
        )  # y lies in this piece
        result = within @ starts + (within @ slopes) * value - parts[0]
        if drop:  # y = value - (r >> drop), and 2^(64 - drop) more where the sum wrapped: see `Truncate`
            result = result + (parts[1] * (1 - shift(x.value.reshape(-1), BITS - 1)) << (BITS - drop))
        outside = (0 if party else 1) - within.sum(1)
        return result.reshape(x.shape), outside.reshape(x.shape)
