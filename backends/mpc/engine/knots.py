"""One comparison key at many points that lie close together: what they share of their ways down is walked once.

The points are a public value less each of a function's knots. Far knots lie far apart and need fewer bits to be told
apart, so that each way ends at a stop of its own (see `dcf`): a knot then costs a few steps instead of a whole tree.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .aes import LEAF, LEFT, RIGHT, VALUE, VALUE_RIGHT, hash_blocks
from .dcf import Correction
from .kernels import compiled

WORDS = 4
"""Payload: 1, and three parts of the mask: what near and far pieces are told of x by, and its highest bit."""


class Knots(NamedTuple):
    """Where a function's pieces begin and end, and how many bits tell.

    Attributes:
        levels: bits of the numbers that are compared.
        stops: depths at which keys are evaluated, ascending; the last is `levels`.
        places: uint64 [K + 1], ascending, each a multiple of 2^(levels - its depth).
        depths: int64 [K + 1]: each one's place among `stops`.
        near: how many of the K pieces are near.
    """

    levels: int
    stops: tuple[int, ...]
    places: Any
    depths: Any
    near: int


def pieces(
    party: int, root: Any, correction: Correction, knots: Knots, value: Any, parts: Any, starts: Any, slopes: Any
) -> Any:
    """For N elements: shares of Σ over pieces of [x in it] times 1, the start, and then once for the near pieces and
    once for the far ones times the slope, the slope·(their part of the mask), and the slope·(the mask's highest bit).

    With A(y) = [y < r]: [x < k] = [v < k] + A(v - k) - A(v), since each side counts how often v - r, less k, wraps.

    Args:
        value: uint64 [N], the public v of `knots.levels` bits.
        parts: uint64 [N, 3], shares of what the keys pay besides 1.
        starts, slopes: uint64 [K].
    Returns:
        uint64 [N, 8].
    """
    out = np.empty((len(value), 8), np.uint64)
    keys = (LEFT, RIGHT, VALUE, VALUE_RIGHT, LEAF)
    stops = np.array(knots.stops, np.int64)
    places = stops, knots.places, knots.depths, knots.near
    _pieces(party, root, *keys, *correction, *places, value, parts, starts, slopes, out)
    return out


@compiled
def _values(seed: Any, key: Any, other: Any, out: Any) -> None:
    """Four words under one seed."""
    hash_blocks(seed, 1, key, out)
    other[0], other[1] = seed[0], seed[1] ^ np.uint64(2)
    hash_blocks(other, 1, key, out[2:])


@compiled
def _pieces(
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
    stops: Any,
    places: Any,
    depths: Any,
    near: int,
    value: Any,
    parts: Any,
    starts: Any,
    slopes: Any,
    out: Any,
) -> None:
    levels, one, zero, clear = bits.shape[1], np.uint64(1), np.uint64(0), ~np.uint64(1)
    # Where the way so far led: one row a level.
    seeds, controls = np.empty((levels + 1, 2), np.uint64), np.empty(levels + 1, np.uint64)
    sums = np.empty((levels + 1, WORDS), np.uint64)
    turned, other, shares = np.empty(2, np.uint64), np.empty(2, np.uint64), np.empty(4, np.uint64)
    here = np.empty((len(stops), WORDS), np.uint64)  # A(v) at every stop
    there, last, found = np.empty(WORDS, np.uint64), np.empty(WORDS, np.uint64), np.empty(WORDS, np.uint64)
    whole = ~zero >> np.uint64(64 - levels)
    for e in range(len(value)):
        seeds[0, 0], seeds[0, 1], controls[0] = root[e, 0] & clear, root[e, 1], np.uint64(party)
        sums[0] = zero
        way, known, reached = zero, 0, 0
        total = np.zeros(8, np.uint64)
        for step in range(-len(stops), len(places)):
            # First down to v, stop by stop; then to v less each knot.
            stop = step + len(stops) if step < 0 else depths[step]
            wanted = value[e] if step < 0 else (value[e] - places[step]) & whole
            depth = stops[stop]
            if step >= 0:
                reached, difference = 0, wanted ^ way
                while reached < known and not (difference >> np.uint64(levels - 1 - reached)) & one:
                    reached += 1
            for level in range(reached, depth):
                turn = (wanted >> np.uint64(levels - 1 - level)) & one
                hash_blocks(seeds[level], 1, right if turn else left, turned)
                _values(seeds[level], value_right if turn else value_left, other, shares)
                mask = zero - controls[level]
                for word in range(WORDS):
                    sums[level + 1, word] = sums[level, word] + shares[word] + (values[e, level, word] & mask)
                seeds[level + 1, 0] = (turned[0] & clear) ^ (cw[e, level, 0] & mask)
                seeds[level + 1, 1] = turned[1] ^ (cw[e, level, 1] & mask)
                side = (np.uint64(bits[e, level]) >> turn) & one
                controls[level + 1] = (turned[0] & one) ^ (controls[level] & side)
            way, known, reached = wanted, depth, depth
            _values(seeds[depth], value_leaf, other, shares)
            mask = zero - controls[depth]
            for word in range(WORDS):
                share = sums[depth, word] + shares[word] + (leaves[e, stop, word] & mask)
                there[word] = zero - share if party else share
            if step < 0:
                here[stop] = there
                continue
            cut = np.uint64(levels - depth)
            public = one if value[e] >> cut < places[step] >> cut else zero
            found[0] = there[0] - here[stop, 0] + (zero if party else public)
            for word in range(1, WORDS):
                found[word] = there[word] - here[stop, word] + public * parts[e, word - 1]
            if step:  # x lies in the piece before this knot
                within, slope, far = found[0] - last[0], slopes[step - 1], step > near
                total[0] += within
                total[1] += within * starts[step - 1]
                at = 5 if far else 2
                total[at] += within * slope
                part = 2 if far else 1
                total[at + 1] += (found[part] - last[part]) * slope
                total[at + 2] += (found[3] - last[3]) * slope
            last[:] = found
        out[e] = total
