"""Roots, exponentials, softmax and activations over CrypTen's tensors, within ranges that are known beforehand.

CrypTen's own are coarse (its sigmoid is off by 0.002 at 0, its exponential by 0.8% at -2) or fail (erf, a Taylor
polynomial, beyond 2). Here the same Newton iterations start from the best line over the range and run for as many
steps as that range needs, and exponentials square a polynomial of degree four.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from .activations import ACTIVATIONS
from .library import MPCTensor, crypten
from .newton import reciprocal_start, root_start
from .ranges import Ranges
from .transformer import PRECISION, Tensor

ROOM = 64.0
"""How many times smaller or larger a mean square may be than any that was watched."""
AROUND = 0.5, 1.5
"""Mean squares once their power of two is taken off, and some room for what the cut has done to small ones."""
MORE = 2.0
"""How many times larger a score's distance, or what a sigmoid is taken of, may be."""
REACH = 2.75
"""1 + u + u²/2 + u³/6 + u⁴/24 lies between 0 and 1 for -REACH ≤ u ≤ 0, so that squaring it cannot explode."""
FEWEST = 3
"""Squarings of an exponential, at least: with fewer, the polynomial's error shows."""


class Crypten:
    """`Functions` over `MPCTensor`."""

    def __init__(self, ranges: Ranges) -> None:
        self._norms = [_Norm(low / ROOM, high * ROOM) for low, high in ranges.squares]
        self._score = squarings(MORE * ranges.score)
        self._gate = squarings(MORE * ranges.gate)

    def embed(self, onehot: Tensor, table: torch.Tensor) -> Tensor:
        """Exact: integers times the table in fixed point."""
        rows = onehot.matmul((table.double() * 2.0**PRECISION).long())
        return MPCTensor.from_shares(rows.share, precision=PRECISION)

    def normalise(self, x: Tensor, epsilon: float, site: int) -> Tensor:
        return self._norms[site](x, epsilon)

    def softmax(self, scores: Tensor, seen: torch.Tensor) -> Tensor:
        length = seen.shape[-1]
        if length == 1:
            return scores * 0 + 1.0
        visible = seen.bool()
        own = (seen.sum(-1, keepdim=True) - 1).long()  # what a token may not see is put in the place of itself
        scores = _local(torch.where(visible, scores.share, scores.share.gather(-1, own)))
        powers = exponential(scores - maximum(scores), self._score)
        powers = _local(powers.share * seen)
        scale = 2 ** round(math.log2(length) / 2)  # so that neither the sum nor its inverse is small
        inverse = reciprocal(powers.sum(-1, keepdim=True).div(scale), 1 / scale, length / scale)
        return (powers * inverse).div(scale)

    def activate(self, x: Tensor, name: str) -> Tensor:
        """x·σ(z) = max(x, 0) - |x|·σ(-|z|), where z has x's sign."""
        form = ACTIVATIONS[name]
        below = x * x._ltz()
        size = x - below * 2
        argument = size * form.linear if form.linear != 1.0 else size
        if form.cubic:
            argument = size * (size.square() * form.cubic + form.linear)
        power = exponential(-argument, self._gate)
        return (x - below) - size * (power * reciprocal(power + 1.0, 1.0, 2.0))

    def cat(self, tensors: list[Tensor], dim: int) -> Tensor:
        return crypten.cat(tensors, dim)


class _Norm:
    """x over the root of its mean square, for mean squares from `low` to `high`.

    They are first compared with every power of two between: that gives a factor which brings x near its norm, so that
    its second mean square lies around 1, where few steps are enough and fixed point is precise.
    """

    def __init__(self, low: float, high: float) -> None:
        factor = (low * high) ** -0.25  # brings the middle of the range to 1
        self._times, self._over = max(1, round(factor)), max(1, round(1 / factor))
        self._factor = self._times / self._over
        least = math.floor(math.log2(low * self._factor**2))
        self._bounds = 2.0 ** torch.arange(least + 1, math.ceil(math.log2(high * self._factor**2)))
        self._inverse = 1 / (torch.cat([torch.tensor([2.0**least]), self._bounds]) * 1.5)  # of each stretch's middle
        self._start = root_start(*AROUND)

    def __call__(self, x: Tensor, epsilon: float) -> Tensor:
        x = x.div(self._over) if self._over > 1 else x * self._times
        epsilon = epsilon * self._factor**2
        below = (x.square().mean(-1, keepdim=True) + epsilon - self._bounds)._ltz()
        x = x * _chosen(below, self._inverse.sqrt())
        square = x.square().mean(-1, keepdim=True) + _chosen(below, self._inverse * epsilon)
        first, slope, steps = self._start
        root = first - square * slope
        for _ in range(steps):
            root = (root * (3 - square * root.square())).div(2)
        return x * root


def _chosen(below: Tensor, values: torch.Tensor) -> Tensor:
    """The first of `values` that is not passed: `below` says of each bound between them whether it lies above."""
    drops = torch.round((values[:-1] - values[1:]).double() * 2.0**PRECISION).long()
    return _local((below.share * drops).sum(-1, keepdim=True)) + float(values[-1])


def squarings(reach: float) -> int:
    """How often the polynomial must be squared for exponents down to -`reach`."""
    return max(FEWEST, math.ceil(math.log2(reach / REACH)))


def exponential(x: Tensor, times: int) -> Tensor:
    """e^x for x ≤ 0."""
    part = x.div(2**times)
    square = part.square()
    power = part + 1.0 + square * (part * (1 / 6) + square * (1 / 24) + 0.5)
    for _ in range(times):
        power = power.square()
    return power


def reciprocal(x: Tensor, low: float, high: float) -> Tensor:
    """1/x for x from `low` to `high`."""
    first, slope, steps = reciprocal_start(low, high)
    found = first - x * slope
    for _ in range(steps):
        found = found * (2 - x * found)
    return found


def maximum(x: Tensor) -> Tensor:
    """The largest along the last dimension, by a knock-out tournament."""
    while (count := x.shape[-1]) > 1:
        half = count // 2
        one, other = x[..., :half], x[..., half : 2 * half]
        best = other + (one - other).relu()
        x = crypten.cat([best, x[..., 2 * half :]], -1) if count % 2 else best
    return x


def _local(share: torch.Tensor) -> Any:
    """A tensor of which each party made its share from shares of its own, by what is linear."""
    return MPCTensor.from_shares(share, precision=PRECISION)
