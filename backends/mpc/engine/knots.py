"""One comparison key at many points that lie close together: what they share of their ways down is walked once.

The points are a public value less each of a function's knots. Far knots lie far apart and need fewer bits to be told
apart, so that each way ends at a stop of its own (see `dcf`): a knot then costs a few steps instead of a whole tree.
All ways go down side by side, a level at a time, so that wide instructions have something to do.
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
def _values(seeds: Any, count: int, key: Any, scratch: Any, out: Any) -> None:
    """Four words under each seed: two at out[0], two at out[1]."""
    hash_blocks(seeds, count, key, out[0])
    for n in range(count):
        scratch[2 * n], scratch[2 * n + 1] = seeds[2 * n], seeds[2 * n + 1] ^ np.uint64(2)
    hash_blocks(scratch, count, key, out[1])


@compiled
def _ways(
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
    ends: Any,
    points: Any,
    wrap: int,
    here: Any,
    there: Any,
) -> None:
    """A(points[0]) at every stop into `here`, and A(point) at its own stop into `there`, for one key.

    Args:
        points: descending, but for one jump up before points[wrap].
        ends: how many points go beyond each stop.
    """
    levels, one, zero, clear = len(bits), np.uint64(1), np.uint64(0), ~np.uint64(1)
    total = len(points)
    room = 2 * total + 16
    # The nodes that ways lead through: what they are, and the first and the last point of each.
    seeds, controls, sums = (
        np.empty(room, np.uint64),
        np.empty(total + 2, np.uint64),
        np.empty((total + 2, 4), np.uint64),
    )
    first, last = np.empty(total + 2, np.int64), np.empty(total + 2, np.int64)
    above, before, summed = (
        np.empty(room, np.uint64),
        np.empty(total + 2, np.uint64),
        np.empty((total + 2, 4), np.uint64),
    )
    begun, ended = np.empty(total + 2, np.int64), np.empty(total + 2, np.int64)
    parents = np.empty(total + 2, np.int64)
    scratch, shares = np.empty(room, np.uint64), np.empty((2, room), np.uint64)
    nodes = 0
    for start, end in ((0, wrap), (wrap, total)):
        if start < end:
            seeds[2 * nodes], seeds[2 * nodes + 1], controls[nodes] = root[0] & clear, root[1], np.uint64(party)
            sums[nodes] = zero
            first[nodes], last[nodes] = start, end - 1
            nodes += 1
    stop, living = 0, total
    for depth in range(levels + 1):
        if depth == stops[stop]:
            _values(seeds, nodes, value_leaf, scratch, shares)
            for n in range(nodes):
                mask = zero - controls[n]
                for point in range(first[n], last[n] + 1):
                    if 0 < point < ends[stop]:
                        continue
                    for word in range(WORDS):
                        share = sums[n, word] + shares[word >> 1, 2 * n + (word & 1)] + (leaves[stop, word] & mask)
                        share = zero - share if party else share
                        if point == 0:
                            here[stop, word] = share
                        if point == 0 or point >= ends[stop]:
                            there[point, word] = share
            living = ends[stop]
            stop += 1
        if depth == levels:
            break
        bit = np.uint64(levels - 1 - depth)
        front, back = 0, total + 2
        for n in range(nodes):
            low, high = first[n], min(last[n], living - 1)
            if low > high:
                continue
            # Within a node points descend: those that turn right stand before those that turn left.
            inner, outer = low, high + 1
            while inner < outer:
                middle = (inner + outer) // 2
                if (points[middle] >> bit) & one:
                    inner = middle + 1
                else:
                    outer = middle
            if inner > low:
                back -= 1
                parents[back], begun[back], ended[back] = n, low, inner - 1
            if inner <= high:
                parents[front], begun[front], ended[front] = n, inner, high
                front += 1
        rights = total + 2 - back
        for n in range(rights):  # one after the other
            at = back + n
            parents[front + n], begun[front + n], ended[front + n] = parents[at], begun[at], ended[at]
        count = front + rights
        for n in range(count):
            above[2 * n], above[2 * n + 1] = seeds[2 * parents[n]], seeds[2 * parents[n] + 1]
            before[n] = controls[parents[n]]
            summed[n] = sums[parents[n]]
        hash_blocks(above, front, left, seeds)
        hash_blocks(above[2 * front :], rights, right, seeds[2 * front :])
        _values(above, front, value_left, scratch, shares)
        _values(above[2 * front :], rights, value_right, scratch, shares[:, 2 * front :])
        for n in range(count):
            mask = zero - before[n]
            for word in range(WORDS):
                sums[n, word] = summed[n, word] + shares[word >> 1, 2 * n + (word & 1)] + (values[depth, word] & mask)
            side = np.uint64(bits[depth] >> 1) if n >= front else np.uint64(bits[depth] & 1)
            controls[n] = (seeds[2 * n] & one) ^ (before[n] & side)
            seeds[2 * n] = (seeds[2 * n] & clear) ^ (cw[depth, 0] & mask)
            seeds[2 * n + 1] ^= cw[depth, 1] & mask
            first[n], last[n] = begun[n], ended[n]
        nodes = count


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
    levels, one, zero = bits.shape[1], np.uint64(1), np.uint64(0)
    knots = len(places)
    whole = ~zero >> np.uint64(64 - levels)
    points = np.empty(knots + 1, np.uint64)
    here, there = np.empty((len(stops), WORDS), np.uint64), np.empty((knots + 1, WORDS), np.uint64)
    last, found = np.empty(WORDS, np.uint64), np.empty(WORDS, np.uint64)
    ends = np.empty(len(stops), np.int64)
    for stop in range(len(stops)):
        ends[stop] = 1
        for knot in range(knots):
            ends[stop] += depths[knot] > stop
    for e in range(len(value)):
        points[0], wrap = value[e], knots + 1
        for knot in range(knots):
            points[knot + 1] = (value[e] - places[knot]) & whole
            if places[knot] > value[e] and wrap > knot + 1:
                wrap = knot + 1
        _ways(
            party,
            root[e],
            left,
            right,
            value_left,
            value_right,
            value_leaf,
            cw[e],
            bits[e],
            values[e],
            leaves[e],
            stops,
            ends,
            points,
            wrap,
            here,
            there,
        )
        total = np.zeros(8, np.uint64)
        for knot in range(knots):
            stop = depths[knot]
            cut = np.uint64(levels - stops[stop])
            public = one if value[e] >> cut < places[knot] >> cut else zero
            found[0] = there[knot + 1, 0] - here[stop, 0] + (zero if party else public)
            for word in range(1, WORDS):
                found[word] = there[knot + 1, word] - here[stop, word] + public * parts[e, word - 1]
            if knot:  # x lies in the piece before this knot
                within, slope, far = found[0] - last[0], slopes[knot - 1], knot > near
                total[0] += within
                total[1] += within * starts[knot - 1]
                at = 5 if far else 2
                total[at] += within * slope
                part = 2 if far else 1
                total[at + 1] += (found[part] - last[part]) * slope
                total[at + 2] += (found[3] - last[3]) * slope
            last[:] = found
        out[e] = total
