"""Piecewise linear functions with knots anywhere, so that a *relative* error can be bounded over a wide range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from .. import dcf
from ..blank import blank
from ..knots import WORDS, Knots, pieces
from ..material import Deal, Draw
from ..ring import BITS, shift, words
from ..wire import Wire
from .compare import only_mask


class Pieces(NamedTuple):
    """A public function f(x) ≈ (start + slope·y) · 2^-scale on knots[i] <= y < knots[i + 1], where y = x >> drop for
    near pieces and x >> (drop + far) for the others, whose slopes would else be too flat for the scale.

    Attributes:
        drop, far: low bits of the argument that do not count.
        cut: bits that do not count where y is compared with the knots, those of `drop` among them.
        knots: of x >> cut.
        starts, slopes: uint64 [K].
        scale: bits of the result's fraction.
        error: largest relative error against the function it was made from, dropped bits and pieces taken for their
            neighbours at their ends included.
    """

    drop: int
    far: int
    cut: int
    knots: Knots
    starts: Any
    slopes: Any
    scale: int
    error: float


SLOPE, FEWEST = 9, 6
"""Bits of the flattest slope, as they should be and as they may be."""
TELLING = 9
"""Bits of a knot that count: a piece may be taken for its neighbour within one part in 2^(TELLING - 1) of a knot."""


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
    exact = lowest * (highest / lowest) ** (np.arange(count + 1) / count)
    steps = np.maximum(0, np.floor(np.log2(exact)).astype(np.int64) - TELLING + 1)  # bits of each that do not count
    rounded = np.round(exact / 2.0**steps).astype(np.int64) << steps
    rounded[0] = lowest >> steps[0] << steps[0]
    rounded[-1] = -(-highest >> steps[-1]) << steps[-1]
    kept_knots = np.concatenate([[True], np.diff(rounded) > 0])
    knots, steps = rounded[kept_knots], np.maximum.accumulate(steps[kept_knots])
    knots = knots >> steps << steps
    left, right = knots[:-1].astype(np.float64), knots[1:].astype(np.float64)

    def of(y: np.ndarray) -> np.ndarray:
        return function((y + 0.5) * 2.0**drop if drop else y)

    steepness = (of(left) - of(right)) / (right - left)
    most = 61 - np.log2(of(left[:1])[0])
    far, near = _split(np.log2(steepness), np.log2(left / left[0]), most)
    shifts = np.where(np.arange(len(left)) < near, 0, far)
    flattest = (np.log2(steepness) + shifts).min()
    scale = int(np.floor(min(most, np.ceil(SLOPE - flattest))))
    if scale + flattest < FEWEST:
        raise ValueError(f"a range from {lowest << drop} to {highest << drop} is too wide for one approximation")
    units = 2.0**shifts
    slope = -np.round(steepness * units * 2.0**scale)
    middle = (left + right) / 2
    # The chord lies above a convex function; half of the largest gap between them is taken off.
    gap = (of(left) + of(right)) / 2 - of(middle)
    start = np.round((of(left) - gap / 2) * 2.0**scale - slope * np.floor(left / units))
    # Where x is compared its lower bits count for nothing or for one more: a step before a knot it may be behind it.
    early = np.where(np.arange(len(left)) > 0, 2.0 ** steps[:-1], 0)
    sample = np.floor((left - early)[:, None] + (right - left + early)[:, None] * np.linspace(0, 1, 33)[None, :-1])
    found = (start[:, None] + slope[:, None] * np.floor(sample / units[:, None])) * 2.0**-scale
    # What is dropped may count for nothing or for one more.
    steps_of = 2.0**drop * units[:, None]
    ends = (sample * 2.0**drop, np.floor(sample / units[:, None] + 1) * steps_of - 1) if drop or far else (sample,)
    error = max(float(np.abs(found / function(end) - 1).max()) for end in ends)
    finest = int(steps[0])
    levels = BITS - drop - finest
    stops = tuple(sorted({levels - int(step) + finest for step in steps}))
    depths = np.array([stops.index(levels - int(step) + finest) for step in steps], np.int64)
    places = (knots >> finest).astype(np.uint64)
    starts, slopes = (column.astype(np.int64).view(np.uint64) for column in (start, slope))
    knots_ = Knots(levels, stops, places, depths, near)
    return Pieces(drop, far, drop + finest, knots_, starts, slopes, scale, error)


def _split(steepness: np.ndarray, way: np.ndarray, scale: float) -> tuple[int, int]:
    """How many more bits far pieces drop, and how many are near, so that the flattest slopes have the most bits.

    Args:
        steepness, way: of each piece, in bits: of its slope, and of how many times farther it begins than the first.
        scale: the largest there may be.
    """
    best = 0, len(way)
    if steepness.min() + scale >= SLOPE:
        return best
    found = steepness.min()
    for far in range(1, int(way[-1])):
        near = int(np.searchsorted(way, far))  # from there on far pieces know their argument as well as the first one
        least = min(steepness[:near].min(), steepness[near:].min() + far)
        if least > found:
            best, found = (far, near), least
    return best


class Spline(NamedTuple):
    """Shares of f(x), at the scale of `pieces`, and of [x lies outside of its knots], where f is 0; for any x.

    Boyle et al. 2021 (see `dcf`), section 4: one key, evaluated once for each knot, here only down to where knots
    differ. It pays 1, r >> drop, r >> (drop + far) and r's highest bit. Rounds: 0. Bytes an element: common, 49 a
    level and 32 a stop; 24 for the second node.
    """

    pieces: Pieces

    def deal(self, deal: Deal, x: Wire) -> Any:
        mask, knots = only_mask(x).reshape(-1), self.pieces.knots
        parts = [shift(mask, bits) for bits in self._drops()]
        for part in parts:
            deal.share(part)
        place = words(shift(mask, self.pieces.cut))
        payload = np.stack([np.ones_like(place), *(words(part) for part in parts)], 1)
        deal.common(*dcf.generate(place, payload, knots.levels, *deal.roots(len(mask)), knots.stops))
        return blank(*x.shape), blank(*x.shape)

    def read(self, draw: Draw, x: Wire) -> tuple[Any, Any]:
        count, (levels, stops, *_) = only_mask(x).numel(), self.pieces.knots
        parts = [draw.share(count) for _ in self._drops()]
        root = draw.roots(count)
        correction = dcf.Correction(
            draw.common(np.uint64, count, levels, 2),
            draw.common(np.uint8, count, levels),
            draw.common(np.uint64, count, levels, WORDS),
            draw.common(np.uint64, count, len(stops), WORDS),
        )
        return (root, correction, parts), (blank(*x.shape), blank(*x.shape))

    def ready(self, party: int, material: Any) -> Any:
        root, correction, parts = material
        return root, correction, np.stack([words(part) for part in parts], 1)

    def compute(self, party: int, material: Any, x: Wire) -> Any:
        root, correction, parts = material
        _, _, cut, knots, starts, slopes, *_ = self.pieces
        opened = x.value.reshape(-1)
        found = pieces(party, root, correction, knots, words(shift(opened, cut)), parts, starts, slopes)
        within, result, *regions = torch.from_numpy(found.view(np.int64)).unbind(1)
        for drop, slope, of_mask, wrapped in zip(
            self._drops(), regions[::3], regions[1::3], regions[2::3], strict=False
        ):
            result = result + slope * shift(opened, drop) - of_mask
            if drop:  # y = value - (r >> drop), and 2^(64 - drop) more where the sum wrapped: see `Truncate`
                result = result + (wrapped * (1 - shift(opened, BITS - 1)) << (BITS - drop))
        outside = (0 if party else 1) - within
        return result.reshape(x.shape), outside.reshape(x.shape)

    def _drops(self) -> tuple[int, int, int]:
        """Bits that the parts of the mask lack."""
        return self.pieces.drop, self.pieces.drop + self.pieces.far, BITS - 1
