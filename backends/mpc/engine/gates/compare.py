"""Comparisons with what is public, by distributed comparison functions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from .. import dcf
from ..blank import blank
from ..material import Deal, Draw
from ..ring import BITS, shift, words
from ..wire import Wire


class Width(NamedTuple):
    """Which bits of a number are compared.

    Attributes:
        range: bits that matter, the sign included: |x| < 2^(range - 1), which is to be proved where it is below 64.
        drop: low bits that are left out: x less than 2^drop below a bound may be taken for what lies above.
    """

    range: int = BITS
    drop: int = 0

    @property
    def bits(self) -> int:
        return self.range - self.drop

    def of(self, value: torch.Tensor) -> torch.Tensor:
        """The bits that are compared."""
        return shift(value << (BITS - self.range), BITS - self.bits)

    def upwards(self, value: torch.Tensor) -> torch.Tensor:
        """The same, moved by half the range, so that the order of signed numbers becomes that of unsigned ones."""
        return self.of(value + (-(1 << 63) if self.range == BITS else 1 << (self.range - 1)))

    def bounds(self, *bounds: int) -> torch.Tensor:
        """Signed bounds, likewise: [1, K]."""
        return self.upwards(torch.tensor([bounds], dtype=torch.int64))


WHOLE = Width()


class Keys(NamedTuple):
    """What a node has of comparisons with a wire's mask r.

    Attributes:
        correction: pays 1 and the masks of what is `paid`.
        paid: shares of those masks, [N] each.
    """

    root: Any
    correction: dcf.Correction
    paid: list[torch.Tensor]


def deal_keys(deal: Deal, wire: Wire, width: Width, *paid: Wire) -> None:
    """Add the keys of a node's `Keys`, one per element of `wire`: common material of 25 bytes a bit and 8 more; of
    8 a bit and 8 more for each wire whose masks are `paid`."""
    place = words(width.of(only_mask(wire).reshape(-1)))
    payload = [np.ones_like(place), *(words(only_mask(each).reshape(-1)) for each in paid)]
    deal.common(*dcf.generate(place, np.stack(payload, 1), width.bits, *deal.roots(len(place))))


def read_keys(draw: Draw, wire: Wire, width: Width, *paid: Wire) -> Keys:
    count, bits, pays = only_mask(wire).numel(), width.bits, 1 + len(paid)
    root = draw.roots(count)
    correction = dcf.Correction(
        draw.common(np.uint64, count, bits, 2),
        draw.common(np.uint8, count, bits),
        draw.common(np.uint64, count, bits, pays),
        draw.common(np.uint64, count, 1, pays),
    )
    return Keys(root, correction, [only_mask(each).reshape(-1) for each in paid])


def below(party: int, keys: Keys, value: torch.Tensor, bounds: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """For N elements of public value v = x + r and K bounds, all unsigned numbers of the keys' bits: shares of
    [x < bound] [N, K], and of that times each mask that keys pay.

    With A(y) = [y < r]: [x < k] = [v < k] + A(v - k) - A(v), since each side counts how often v - r, less k, wraps.
    """
    bits = keys.correction.bits.shape[1]
    value = value.reshape(-1, 1)
    points = torch.cat([value, shift((value - bounds) << (BITS - bits), BITS - bits)], 1)
    found = dcf.evaluate(party, keys.root, keys.correction, words(points))
    shares = torch.from_numpy(found.view(np.int64))
    public = _unsigned_below(value, bounds).long()
    difference = shares[:, 1:] - shares[:, :1]
    one = difference[..., 0] + (0 if party else public)
    return one, [difference[..., 1 + number] + public * mask[:, None] for number, mask in enumerate(keys.paid)]


class Below(NamedTuple):
    """[x < bound] as 0 or 1, x and bound signed.

    Boyle et al. 2021 (see `dcf`), figure 1. Rounds: 0. Bytes: common, 25 a bit and 8 more an element.
    """

    bound: int
    width: Width = WHOLE

    def deal(self, deal: Deal, x: Wire) -> torch.Tensor:
        deal_keys(deal, x, self.width)
        return blank(*x.shape)

    def read(self, draw: Draw, x: Wire) -> tuple[Any, torch.Tensor]:
        return read_keys(draw, x, self.width), blank(*x.shape)

    def ready(self, party: int, material: Any) -> Any:
        return material

    def compute(self, party: int, material: Any, x: Wire) -> torch.Tensor:
        width = self.width
        return below(party, material, width.upwards(x.value), width.bounds(self.bound))[0].reshape(x.shape)


class Outside(NamedTuple):
    """[x < lowest or x >= highest] as 0 or 1, signed: a guard.

    Boyle et al. 2021 (see `dcf`), section 4: one key at two points. Rounds: 0. Bytes: common, 25 a bit and 8 more an
    element.
    """

    lowest: int
    highest: int
    width: Width = WHOLE

    def deal(self, deal: Deal, x: Wire) -> torch.Tensor:
        deal_keys(deal, x, self.width)
        return blank(*x.shape)

    def read(self, draw: Draw, x: Wire) -> tuple[Any, torch.Tensor]:
        return read_keys(draw, x, self.width), blank(*x.shape)

    def ready(self, party: int, material: Any) -> Any:
        return material

    def compute(self, party: int, material: Any, x: Wire) -> torch.Tensor:
        width = self.width
        found = below(party, material, width.upwards(x.value), width.bounds(self.lowest, self.highest))[0]
        return ((0 if party else 1) - found[:, 1] + found[:, 0]).reshape(x.shape)


class AtLeast(NamedTuple):
    """max(x, bound), signed.

    Boyle et al. 2021 (see `dcf`), section 4: a key that pays the mask. Rounds: 0. Bytes: common, 33 a bit and 16 more
    an element.
    """

    bound: int
    width: Width = WHOLE

    def deal(self, deal: Deal, x: Wire) -> torch.Tensor:
        deal_keys(deal, x, self.width, x)
        return blank(*x.shape)

    def read(self, draw: Draw, x: Wire) -> tuple[Any, torch.Tensor]:
        return read_keys(draw, x, self.width, x), blank(*x.shape)

    def ready(self, party: int, material: Any) -> Any:
        return material

    def compute(self, party: int, material: Any, x: Wire) -> torch.Tensor:
        width = self.width
        less, (times_mask,) = below(party, material, width.upwards(x.value), width.bounds(self.bound))
        # x - [x < bound]·(x - bound), and [x < bound]·x = [x < bound]·v - [x < bound]·r
        mine = x.share(party).reshape(-1, 1)
        return (mine - less * (x.value.reshape(-1, 1) - self.bound) + times_mask).reshape(x.shape)


def only_mask(wire: Wire) -> torch.Tensor:
    """The mask of a freshly opened wire. Raises ValueError for any other."""
    if len(wire.masks) != 1 or not wire.plain:
        raise ValueError("only a freshly opened wire will do here")
    return wire.masks[0].part


def _unsigned_below(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    highest = torch.tensor(-(1 << 63))
    return a + highest < b + highest
