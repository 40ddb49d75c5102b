"""Distributed comparison functions: two keys for `x ↦ payload if x < place else 0`, evaluated share by share.

Boyle, Chandran, Gilboa, Gupta, Ishai, Kumar and Rathee, "Function Secret Sharing for Mixed-Mode and Fixed-Point Secure
Computation" (EUROCRYPT 2021), figure 1, over Z_2^64 with payloads of one to four words. A key can also be made to be
evaluated at some of the tree's upper levels, that is to compare the highest bits alone: each such level has a final
correction of its own, under a hash of its own, as in the incremental point functions of Boneh, Boyle, Corrigan-Gibbs,
Gilboa and Ishai, "Lightweight Techniques for Private Heavy Hitters" (IEEE S&P 2021), section 4.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .aes import LEAF, LEFT, RIGHT, VALUE, VALUE_RIGHT, hash_blocks
from .kernels import compiled

_BATCH = 128


class Correction(NamedTuple):
    """What both parties hold of N keys of `levels` levels and `words` payload words.

    Attributes:
        seeds: uint64 [N, levels, 2].
        bits: uint8 [N, levels]: control bits of the left child and, twice that, of the right one.
        values: uint64 [N, levels, words].
        leaves: uint64 [N, stops, words], one for each level at which the key can be evaluated.
    """

    seeds: Any
    bits: Any
    values: Any
    leaves: Any


def generate(
    place: Any,
    payload: Any,
    levels: int,
    first: Any,
    second: Any,
    stops: tuple[int, ...] | None = None,
    base: Any = None,
) -> Correction:
    """Keys for N comparisons.

    Args:
        place: uint64 [N], each below 2^levels.
        payload: uint64 [N, words], one to four words.
        first, second: the parties' `dpf.roots`.
        stops: depths at which to evaluate, ascending and from 1 on; the last is `levels`, and alone by default.
        base: uint64 [N, words], what the functions are more by everywhere; nothing by default. It goes into the first
            level's correction, which the second party alone adds, and costs nothing.
    """
    stops = stops or (levels,)
    count, words = payload.shape
    base = np.zeros_like(payload) if base is None else base
    made = Correction(
        np.empty((count, levels, 2), np.uint64),
        np.empty((count, levels), np.uint8),
        np.empty((count, levels, words), np.uint64),
        np.empty((count, len(stops), words), np.uint64),
    )
    keys = (LEFT, RIGHT, VALUE, VALUE_RIGHT, LEAF)
    _generate(place, payload, base, first, second, *keys, np.array(stops, np.int64), *made)
    return made


def evaluate(party: int, root: Any, correction: Correction, points: Any) -> Any:
    """Shares of N functions at K points each: uint64 [N, K, words]. `points` is uint64 [N, K], each below 2^levels.

    The key's one stop is its last level.
    """
    out = np.empty((*points.shape, correction.values.shape[2]), np.uint64)
    evaluate_into(party, root, LEFT, RIGHT, VALUE, VALUE_RIGHT, LEAF, *correction, points, out)
    return out


@compiled
def _hash_values(seeds: Any, count: int, words: int, key: Any, scratch: Any, out: Any) -> None:
    """Values of one branch: words 2i and 2i + 1 of node n at out[i, 2n] and out[i, 2n + 1]."""
    hash_blocks(seeds, count, key, out[0])
    if words > 2:
        for n in range(count):
            scratch[2 * n], scratch[2 * n + 1] = seeds[2 * n], seeds[2 * n + 1] ^ np.uint64(2)
        hash_blocks(scratch, count, key, out[1])


@compiled
def _generate(
    place: Any,
    payload: Any,
    base: Any,
    first: Any,
    second: Any,
    left: Any,
    right: Any,
    value_left: Any,
    value_right: Any,
    value_leaf: Any,
    stops: Any,
    cw: Any,
    bits: Any,
    values: Any,
    leaves: Any,
) -> None:
    total, words = payload.shape
    levels = bits.shape[1]
    one, zero, clear = np.uint64(1), np.uint64(0), ~np.uint64(1)
    room = 4 * _BATCH
    seeds, scratch = np.empty(room, np.uint64), np.empty(room, np.uint64)
    children, of_child = np.empty((2, room), np.uint64), np.empty((2, 2, room), np.uint64)  # the left ones, the right
    controls = np.empty(2 * _BATCH, np.uint64)
    reached = np.empty((_BATCH, 4), np.uint64)  # what the values on the path add up to so far
    for begin in range(0, total, _BATCH):
        count = min(_BATCH, total - begin)
        for e in range(count):
            for word in range(2):
                seeds[2 * e + word] = first[begin + e, word]
                seeds[2 * (count + e) + word] = second[begin + e, word]
            reached[e] = zero
            seeds[2 * e] &= clear
            seeds[2 * (count + e)] &= clear
            controls[e], controls[count + e] = zero, one
        stop = 0
        for level in range(levels):
            hash_blocks(seeds, 2 * count, left, children[0])
            hash_blocks(seeds, 2 * count, right, children[1])
            _hash_values(seeds, 2 * count, words, value_left, scratch, of_child[0])
            _hash_values(seeds, 2 * count, words, value_right, scratch, of_child[1])
            for e in range(count):
                a, b = 2 * e, 2 * (count + e)
                bit = (place[begin + e] >> np.uint64(levels - 1 - level)) & one
                keep, lose = np.int64(bit), np.int64(one - bit)
                cw0 = (children[lose, a] ^ children[lose, b]) & clear
                cw1 = children[lose, a + 1] ^ children[lose, b + 1]
                to_left = (children[0, a] ^ children[0, b] ^ bit ^ one) & one
                to_right = (children[1, a] ^ children[1, b] ^ bit) & one
                cw[begin + e, level, 0], cw[begin + e, level, 1] = cw0, cw1
                bits[begin + e, level] = to_left | (to_right << one)
                negative = controls[count + e]  # 0 or 1
                for word in range(words):
                    half, odd = word >> 1, word & 1
                    wanted = of_child[lose, half, b + odd] - of_child[lose, half, a + odd] - reached[e, word]
                    wanted += payload[begin + e, word] * bit  # whoever turns left where the place turns right is below
                    stored = wanted if level else wanted + base[begin + e, word]
                    values[begin + e, level, word] = (stored ^ (zero - negative)) + negative
                    reached[e, word] += of_child[keep, half, a + odd] - of_child[keep, half, b + odd] + wanted
                to_keep = to_right if bit else to_left
                for party in range(2):
                    at = b if party else a
                    control = controls[at >> 1]
                    mask = zero - control
                    seeds[at] = (children[keep, at] & clear) ^ (cw0 & mask)
                    seeds[at + 1] = children[keep, at + 1] ^ (cw1 & mask)
                    controls[at >> 1] = (children[keep, at] & one) ^ (control & to_keep)
            if level + 1 == stops[stop]:
                _hash_values(seeds, 2 * count, words, value_leaf, scratch, of_child[0])
                for e in range(count):
                    for word in range(words):
                        half, odd = word >> 1, word & 1
                        wanted = of_child[0, half, 2 * (count + e) + odd] - of_child[0, half, 2 * e + odd]
                        wanted -= reached[e, word]
                        leaves[begin + e, stop, word] = zero - wanted if controls[count + e] else wanted
                stop += 1


@compiled
def evaluate_into(
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
    points: Any,
    out: Any,
) -> None:
    """`evaluate`, for kernels."""
    total, each = points.shape
    levels, words = bits.shape[1], values.shape[2]
    one, zero, clear = np.uint64(1), np.uint64(0), ~np.uint64(1)
    room = 2 * _BATCH
    # Those that turn left stand at the front, those that turn right at the back: one key of AES for each kind.
    seeds, turned, ordered = np.empty(room, np.uint64), np.empty(room, np.uint64), np.empty(room, np.uint64)
    shares, scratch = np.empty((2, room), np.uint64), np.empty(room, np.uint64)
    where, owner = np.empty(_BATCH, np.int64), np.empty(_BATCH, np.int64)
    controls, point = np.empty(_BATCH, np.uint64), np.empty(_BATCH, np.uint64)
    sums = np.empty((_BATCH, 4), np.uint64)
    for begin in range(0, total * each, _BATCH):
        count = min(_BATCH, total * each - begin)
        for n in range(count):
            q = begin + n
            e = owner[n] = q // each
            point[n] = points[e, q - e * each]
            seeds[2 * n], seeds[2 * n + 1] = root[e, 0] & clear, root[e, 1]
            controls[n] = party
            sums[n] = zero
        for level in range(levels):
            shift = np.uint64(levels - 1 - level)
            front, back = 0, count
            for n in range(count):
                if (point[n] >> shift) & one:
                    back -= 1
                    where[n] = back
                else:
                    where[n] = front
                    front += 1
                ordered[2 * where[n]], ordered[2 * where[n] + 1] = seeds[2 * n], seeds[2 * n + 1]
            hash_blocks(ordered, front, left, turned)
            hash_blocks(ordered[2 * front :], count - front, right, turned[2 * front :])
            _hash_values(ordered, front, words, value_left, scratch, shares)
            _hash_values(ordered[2 * front :], count - front, words, value_right, scratch, shares[:, 2 * front :])
            for n in range(count):
                e, at = owner[n], 2 * where[n]
                mask = zero - controls[n]
                for word in range(words):
                    sums[n, word] += shares[word >> 1, at + (word & 1)] + (values[e, level, word] & mask)
                side = np.uint64(bits[e, level] >> 1) if where[n] >= front else np.uint64(bits[e, level] & 1)
                seeds[2 * n] = (turned[at] & clear) ^ (cw[e, level, 0] & mask)
                seeds[2 * n + 1] = turned[at + 1] ^ (cw[e, level, 1] & mask)
                controls[n] = (turned[at] & one) ^ (controls[n] & side)
        _hash_values(seeds, count, words, value_leaf, scratch, shares)
        for n in range(count):
            e = owner[n]
            mask = zero - controls[n]
            for word in range(words):
                share = sums[n, word] + shares[word >> 1, 2 * n + (word & 1)] + (leaves[e, 0, word] & mask)
                out[e, begin + n - e * each, word] = zero - share if party else share
