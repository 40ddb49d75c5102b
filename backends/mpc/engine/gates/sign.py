"""Where a number is negative, by a comparison function that is evaluated once, and products with that."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from .. import dcf
from ..aes import LEAF, LEFT, RIGHT, VALUE, VALUE_RIGHT
from ..blank import blank
from ..kernels import compiled
from ..ring import BITS, words
from ..session import Deal, Draw
from ..wire import Wire
from .compare import WHOLE, Width, only_mask


def deal_signs(deal: Deal, wire: Wire, width: Width, *paid: Wire) -> None:
    """Keys that tell [x < 0] of a wire's elements, and that times the masks of each wire that is `paid`.

    Boyle et al. 2021 (see `dcf`), section 4, of which one evaluation does for the sign: with v = x + r, the highest bit
    of x is that of v, of r and the borrow [v' < r'] of the bits below, all added without carry. The dealer knows r's:
    keys say r's highest bit ⊕ [v' < r'] for any v'; that or its opposite is [x < 0], as v's highest bit says.

    Bytes: common, 25 an element and bit but the highest, and 8 more; of 8 each likewise for each wire that is paid.
    """
    compared, levels = words(only_mask(wire)).reshape(-1), width.bits - 1
    masks = np.stack([words(only_mask(each)).reshape(-1) for each in paid])
    place, payload = np.empty_like(compared), np.empty((len(compared), 1 + len(paid)), np.uint64)
    _to_pay(compared, width.range, levels, masks, place, payload, base := np.empty_like(payload))
    deal.common(*dcf.generate(place, payload, levels, *deal.roots(len(place)), base=base))


def read_signs(draw: Draw, wire: Wire, width: Width, pays: int) -> tuple[Any, dcf.Correction]:
    """What a node has of them: the keys' roots, and what both nodes have."""
    count, levels = only_mask(wire).numel(), width.bits - 1
    root = draw.roots(count)
    return root, dcf.Correction(
        draw.common(np.uint64, count, levels, 2),
        draw.common(np.uint8, count, levels),
        draw.common(np.uint64, count, levels, 1 + pays),
        draw.common(np.uint64, count, 1, 1 + pays),
    )


def negative(party: int, keys: tuple[Any, dcf.Correction], width: Width, x: Wire, *paid: Wire) -> list[torch.Tensor]:
    """Shares of [x < 0]·y for each y whose masks the keys pay, in its shape."""
    root, correction = keys
    values = np.stack([words(each.value).reshape(-1) for each in paid])
    masks = np.stack([words(only_mask(each)).reshape(-1) for each in paid])
    out = np.empty_like(values)
    hashes = (LEFT, RIGHT, VALUE, VALUE_RIGHT, LEAF)
    _negative(party, root, *hashes, *correction, words(x.value).reshape(-1), width.range, values, masks, out)
    return [torch.from_numpy(row.view(np.int64)).reshape(each.shape) for row, each in zip(out, paid, strict=True)]


class Relu(NamedTuple):
    """max(x, 0).

    Boyle et al. 2021 (see `deal_signs`): a key that pays the mask, evaluated once. Rounds: 0. Bytes: common, 33 a bit
    less 17 an element.
    """

    width: Width = WHOLE

    def deal(self, deal: Deal, x: Wire) -> torch.Tensor:
        deal_signs(deal, x, self.width, x)
        return blank(*x.shape)

    def read(self, draw: Draw, x: Wire) -> tuple[Any, torch.Tensor]:
        return read_signs(draw, x, self.width, 1), blank(*x.shape)

    def ready(self, party: int, material: Any) -> Any:
        return material

    def compute(self, party: int, material: Any, x: Wire) -> torch.Tensor:
        return x.share(party) - negative(party, material, self.width, x, x)[0]


@compiled
def _split(value: Any, extent: int, levels: int) -> Any:
    """Of the `extent` bits that matter the highest, and the `levels` bits below it."""
    one, top = np.uint64(1), (value << np.uint64(BITS - extent)) >> np.uint64(BITS - 1 - levels)
    return top >> np.uint64(levels), top & ((one << np.uint64(levels)) - one)


@compiled
def _to_pay(compared: Any, extent: int, levels: int, masks: Any, place: Any, payload: Any, base: Any) -> None:
    """Where r's highest bit is 0, [v' < r'] of 1 and of each mask; where it is 1 what that leaves of them."""
    one = np.uint64(1)
    for e in range(len(compared)):
        highest, place[e] = _split(compared[e], extent, levels)
        for word in range(payload.shape[1]):
            paid = masks[word - 1, e] if word else one
            base[e, word] = paid * highest
            payload[e, word] = paid - np.uint64(2) * base[e, word]


@compiled
def _negative(
    party: int,
    root: Any,
    left: Any,
    right: Any,
    value_left: Any,
    value_right: Any,
    value_leaf: Any,
    cw: Any,
    bits: Any,
    values: Any,
    leaves: Any,
    opened: Any,
    extent: int,
    paid: Any,
    masks: Any,
    out: Any,
) -> None:
    """[x < 0]·y = [x < 0]·v - [x < 0]·r for every y = v - r."""
    levels, one, zero = bits.shape[1], np.uint64(1), np.uint64(0)
    points, highest = np.empty((len(opened), 1), np.uint64), np.empty(len(opened), np.uint64)
    for e in range(len(opened)):
        highest[e], points[e, 0] = _split(opened[e], extent, levels)
    found = np.empty((len(opened), 1, values.shape[2]), np.uint64)
    dcf.evaluate_into(
        party, root, left, right, value_left, value_right, value_leaf, cw, bits, values, leaves, points, found
    )
    for e in range(len(opened)):
        whole = zero if party else one
        turned = highest[e] == one
        is_negative = whole - found[e, 0, 0] if turned else found[e, 0, 0]
        for number in range(len(paid)):
            product = found[e, 0, 1 + number]
            product = masks[number, e] - product if turned else product
            out[number, e] = is_negative * paid[number, e] - product
