"""Comparisons with what is public, by distributed comparison functions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from .. import dcf
from ..ring import BITS, shift
from ..session import Deal, Draw, blank
from ..wire import Wire


class Keys(NamedTuple):
    """What a node has of comparisons with a wire's mask r, of which `drop` low bits are left out.

    Attributes:
        parts: shares of r >> drop and, where bits are dropped, of r's highest bit: [N] each. None for bare keys.
        correction: pays 1 and the parts.
    """

    root: Any
    correction: dcf.Correction
    parts: tuple[torch.Tensor, ...]


class Found(NamedTuple):
    """Shares of [x < bound], and of that times each of the parts: [N, K] each."""

    one: torch.Tensor
    parts: tuple[torch.Tensor, ...]


def deal_keys(deal: Deal, wire: Wire, drop: int = 0, *, bare: bool = False) -> None:
    """Add the keys of a node's `Keys`, one per element.

    `bare` keys pay 1 alone. Common material of 33 bytes a bit and 16 more; 41 and 24 where bits are dropped, and 16 for
    the second node; 25 and 8 if bare.
    """
    mask = only_mask(wire).reshape(-1)
    parts = _parts(mask, drop)
    if drop and not bare:
        for part in parts:
            deal.share(part)
    place = parts[0].numpy().view(np.uint64)
    words = [np.ones_like(place), *(part.numpy().view(np.uint64) for part in (() if bare else parts))]
    deal.common(*dcf.generate(place, np.stack(words, 1), BITS - drop, *deal.roots(len(mask))))


def read_keys(draw: Draw, wire: Wire, drop: int = 0, *, bare: bool = False) -> Keys:
    mask, count, bits = only_mask(wire).reshape(-1), wire.value.numel(), BITS - drop
    parts: tuple[torch.Tensor, ...] = (mask,)
    if bare or drop:
        parts = () if bare else (draw.share(count), draw.share(count))
    root = draw.roots(count)
    correction = dcf.Correction(
        draw.common(np.uint64, count, bits, 2),
        draw.common(np.uint8, count, bits),
        draw.common(np.uint64, count, bits + 1, 1 + len(parts)),
    )
    return Keys(root, correction, parts)


def below(party: int, keys: Keys, value: torch.Tensor, bounds: torch.Tensor) -> Found:
    """For N elements of public value v = x + r and K bounds, all read as unsigned numbers of the keys' n bits.

    With A(y) = [y < r]: [x < k] = [v < k] + A(v - k) - A(v), since each side counts how often v - r, less k, wraps.
    """
    bits = keys.correction.bits.shape[1]
    value = value.reshape(-1, 1)
    points = torch.cat([value, shift((value - bounds) << (BITS - bits), BITS - bits)], 1)
    found = dcf.evaluate(party, keys.root, keys.correction, points.numpy().view(np.uint64))
    shares = torch.from_numpy(found.view(np.int64))
    public = _unsigned_below(value, bounds).long()
    difference = shares[:, 1:] - shares[:, :1]
    one = difference[..., 0] + (0 if party else public)
    return Found(one, tuple(difference[..., 1 + n] + public * part[:, None] for n, part in enumerate(keys.parts)))


class Below(NamedTuple):
    """[x < bound] as 0 or 1, x and bound signed, for any x.

    Boyle et al. 2021 (see `dcf`). 2.1 KB of common material an element.
    """

    bound: int

    def deal(self, deal: Deal, x: Wire) -> torch.Tensor:
        deal_keys(deal, x)
        return blank(*x.shape)

    def read(self, draw: Draw, x: Wire) -> tuple[Any, torch.Tensor]:
        return read_keys(draw, x), blank(*x.shape)

    def ready(self, party: int, material: Any) -> Any:
        return material

    def compute(self, party: int, material: Any, x: Wire) -> torch.Tensor:
        return below(party, material, _upwards(x.value), _bounds([self.bound])).one.reshape(x.shape)


class Outside(NamedTuple):
    """[x < lowest or x >= highest] as 0 or 1, signed, for any x; all are cut to their highest 64 - drop bits.

    A guard: in the last step of 2^drop below either bound, x may be taken for what lies above. Boyle et al. 2021.
    Common material of 25 bytes a bit left and 8 more an element.
    """

    lowest: int
    highest: int
    drop: int

    def deal(self, deal: Deal, x: Wire) -> torch.Tensor:
        deal_keys(deal, x, self.drop, bare=True)
        return blank(*x.shape)

    def read(self, draw: Draw, x: Wire) -> tuple[Any, torch.Tensor]:
        return read_keys(draw, x, self.drop, bare=True), blank(*x.shape)

    def ready(self, party: int, material: Any) -> Any:
        return material

    def compute(self, party: int, material: Any, x: Wire) -> torch.Tensor:
        bounds = shift(_bounds([self.lowest, self.highest]), self.drop)
        found = below(party, material, shift(_upwards(x.value), self.drop), bounds).one
        return ((0 if party else 1) - found[:, 1] + found[:, 0]).reshape(x.shape)


class Relu(NamedTuple):
    """max(x, 0) for any x. Boyle et al. 2021 (see `dcf`). 2.1 KB of common material an element."""

    def deal(self, deal: Deal, x: Wire) -> torch.Tensor:
        deal_keys(deal, x)
        return blank(*x.shape)

    def read(self, draw: Draw, x: Wire) -> tuple[Any, torch.Tensor]:
        return read_keys(draw, x), blank(*x.shape)

    def ready(self, party: int, material: Any) -> Any:
        return material

    def compute(self, party: int, material: Any, x: Wire) -> torch.Tensor:
        negative, (times_mask,) = below(party, material, _upwards(x.value), _bounds([0]))
        # x - [x < 0]·x, and [x < 0]·x = [x < 0]·v - [x < 0]·r
        value, mine = x.value.reshape(-1, 1), x.share(party).reshape(-1, 1)
        return (mine - negative * value + times_mask).reshape(x.shape)


def only_mask(wire: Wire) -> torch.Tensor:
    """The mask of a freshly opened wire. Raises ValueError for any other."""
    if len(wire.masks) != 1 or not wire.plain:
        raise ValueError("only a freshly opened wire will do here")
    return wire.masks[0].part


def _parts(mask: torch.Tensor, drop: int) -> tuple[torch.Tensor, ...]:
    return (shift(mask, drop), shift(mask, BITS - 1)) if drop else (mask,)


def _upwards(value: torch.Tensor) -> torch.Tensor:
    """Moved by 2^63, so that the order of signed numbers becomes that of unsigned ones."""
    return value + torch.tensor(-(1 << 63))


def _bounds(bounds: list[int]) -> torch.Tensor:
    """Signed bounds, likewise moved: [1, K]."""
    return torch.tensor([bounds], dtype=torch.int64) + torch.tensor(-(1 << 63))


def _unsigned_below(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return _upwards(a) < _upwards(b)
