"""Where a number is negative, by a comparison function that is evaluated once, and what that chooses."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from .. import dcf
from ..aes import LEAF, LEFT, RIGHT, VALUE, VALUE_RIGHT
from ..blank import blank
from ..kernels import compiled
from ..material import Deal, Draw
from ..ring import BITS, words
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


class Signs(NamedTuple):
    """What a node has of them.

    Attributes:
        correction: what both nodes have.
        masks: its shares of what is paid besides 1: uint64 [wires, N].
    """

    root: Any
    correction: dcf.Correction
    masks: Any


def read_signs(draw: Draw, wire: Wire, width: Width, *paid: Wire) -> tuple[Any, dcf.Correction, list[torch.Tensor]]:
    """What `ready_signs` makes `Signs` of."""
    count, levels, pays = only_mask(wire).numel(), width.bits - 1, 1 + len(paid)
    root = draw.roots(count)
    correction = dcf.Correction(
        draw.common(np.uint64, count, levels, 2),
        draw.common(np.uint8, count, levels),
        draw.common(np.uint64, count, levels, pays),
        draw.common(np.uint64, count, 1, pays),
    )
    return root, correction, [only_mask(each) for each in paid]


def ready_signs(material: tuple[Any, dcf.Correction, list[torch.Tensor]]) -> Signs:
    root, correction, masks = material
    return Signs(root, correction, np.stack([words(each).reshape(-1) for each in masks]))


def chosen(party: int, keys: Signs, width: Width, x: Wire, *others: Wire) -> tuple[torch.Tensor, ...]:
    """Shares of max(x, 0), and of [x < 0]·y for each of the others, where the keys pay x's mask and theirs."""
    root, correction, masks = keys
    values = np.stack([words(each.value).reshape(-1) for each in (x, *others)]) if others else words(x.value)
    out = np.empty(masks.shape, np.int64)
    hashes = (LEFT, RIGHT, VALUE, VALUE_RIGHT, LEAF)
    _chosen(party, root, *hashes, *correction, width.range, values.reshape(masks.shape), masks, out.view(np.uint64))
    return tuple(torch.from_numpy(out).reshape(-1, *x.shape))


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
        return read_signs(draw, x, self.width, x), blank(*x.shape)

    def ready(self, party: int, material: Any) -> Any:
        return ready_signs(material)

    def compute(self, party: int, material: Any, x: Wire) -> torch.Tensor:
        return chosen(party, material, self.width, x)[0]


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
def _chosen(
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
    extent: int,
    opened: Any,
    masks: Any,
    out: Any,
) -> None:
    """[x < 0]·y = [x < 0]·v - [x < 0]·r for every y = v - r, of which x is the first."""
    levels, one, zero = bits.shape[1], np.uint64(1), np.uint64(0)
    wires, count = opened.shape
    points, highest = np.empty((count, 1), np.uint64), np.empty(count, np.uint64)
    for e in range(count):
        highest[e], points[e, 0] = _split(opened[0, e], extent, levels)
    found = np.empty((count, 1, values.shape[2]), np.uint64)
    dcf.evaluate_into(
        party, root, left, right, value_left, value_right, value_leaf, cw, bits, values, leaves, points, found
    )
    whole = zero if party else one
    for e in range(count):
        turned = highest[e] == one
        negative = whole - found[e, 0, 0] if turned else found[e, 0, 0]
        for wire in range(wires):
            of_mask = found[e, 0, 1 + wire]
            of_mask = masks[wire, e] - of_mask if turned else of_mask
            out[wire, e] = negative * opened[wire, e] - of_mask
        out[0, e] = whole * opened[0, e] - masks[0, e] - out[0, e]
