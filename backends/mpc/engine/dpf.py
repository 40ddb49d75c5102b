"""Distributed point functions: two short keys that expand to shares of a vector that is zero but for one place.

Boyle, Gilboa and Ishai, "Function Secret Sharing: Improvements and Extensions" (CCS 2016), figure 1, over Z_2^64 or
Z_2^32 with payloads of one or more words. Each key alone is pseudorandom: it tells neither the place nor the payload.
"""

from __future__ import annotations

import secrets
from typing import Any, NamedTuple

import numpy as np

from .aes import LEFT, RIGHT, VALUE, hash_blocks
from .kernels import compiled

WORD, HALF = np.uint64(2**64 - 1), np.uint64(2**32 - 1)
"""What a word of a payload is: one number of Z_2^64, or two of Z_2^32, the first in the low half."""
_BATCH = 128
"""Keys handled at once, so that wide instructions have something to do."""


class Correction(NamedTuple):
    """What both parties hold of N keys of `levels` levels and `words` payload words.

    Attributes:
        seeds: uint64 [N, levels, 2].
        bits: uint8 [N, levels]: control bits of the left child and, twice that, of the right one.
        last: uint64 [N, words].
    """

    seeds: Any
    bits: Any
    last: Any

    @staticmethod
    def empty(count: int, levels: int, words: int) -> Correction:
        return Correction(
            np.empty((count, levels, 2), np.uint64),
            np.empty((count, levels), np.uint8),
            np.empty((count, words), np.uint64),
        )


def roots(count: int) -> Any:
    """Secret first seeds of one party: uint64 [count, 2]."""
    return np.frombuffer(secrets.token_bytes(16 * count), np.uint64).reshape(count, 2)


def generate(place: Any, payload: Any, levels: int, first: Any, second: Any, kind: Any = WORD) -> Correction:
    """Keys for N points.

    Args:
        place: uint64 [N], each below 2^levels.
        payload: uint64 [N, words].
        first, second: the parties' `roots`.
        kind: `WORD` or `HALF`.
    """
    made = Correction.empty(len(place), levels, payload.shape[1])
    _generate(place, payload, first, second, LEFT, RIGHT, VALUE, kind, *made)
    return made


def expand(party: int, root: Any, correction: Correction, leaves: int = 0, kind: Any = WORD) -> Any:
    """Shares of the N vectors: uint64 [N, leaves, words], where 0 leaves means all 2^levels of them.

    For keys of the kind `HALF` each word holds two shares over Z_2^32.
    """
    count, levels = correction.bits.shape
    leaves = leaves or 1 << levels
    out = np.empty((count, leaves, correction.last.shape[1]), np.uint64)
    _expand(party, root, LEFT, RIGHT, VALUE, kind, *correction, out)
    return out


@compiled
def _plus(a: Any, b: Any, low: Any) -> Any:
    """The sum of two words, of each half by itself where `low` is `HALF`."""
    return (((a & low) + (b & low)) & low) + (a & ~low) + (b & ~low)


@compiled
def _minus(a: Any, b: Any, low: Any) -> Any:
    return (((a & low) - (b & low)) & low) + ((a & ~low) - (b & ~low))


@compiled
def _values(seeds: Any, count: int, word: int, key: Any, scratch: Any, out: Any) -> None:
    """Words `word` and `word` + 1 of the leaves under `seeds`."""
    for each in range(count):
        scratch[2 * each] = seeds[2 * each]
        scratch[2 * each + 1] = seeds[2 * each + 1] ^ np.uint64(word)
    hash_blocks(scratch, count, key, out)


@compiled
def _generate(
    place: Any,
    payload: Any,
    first: Any,
    second: Any,
    left: Any,
    right: Any,
    value: Any,
    low: Any,
    cw: Any,
    bits: Any,
    last: Any,
) -> None:
    total, words = payload.shape
    levels = bits.shape[1]
    one, zero, clear = np.uint64(1), np.uint64(0), ~np.uint64(1)
    seeds, lefts, rights = (
        np.empty(4 * _BATCH, np.uint64),
        np.empty(4 * _BATCH, np.uint64),
        np.empty(4 * _BATCH, np.uint64),
    )
    controls = np.empty(2 * _BATCH, np.uint64)
    for begin in range(0, total, _BATCH):
        count = min(_BATCH, total - begin)
        for e in range(count):  # the first party's seeds, then the second's
            for word in range(2):
                seeds[2 * e + word] = first[begin + e, word]
                seeds[2 * (count + e) + word] = second[begin + e, word]
            seeds[2 * e] &= clear
            seeds[2 * (count + e)] &= clear
            controls[e], controls[count + e] = zero, one
        for level in range(levels):
            hash_blocks(seeds, 2 * count, left, lefts)
            hash_blocks(seeds, 2 * count, right, rights)
            for e in range(count):
                a, b = 2 * e, 2 * (count + e)
                bit = (place[begin + e] >> np.uint64(levels - 1 - level)) & one
                keep, lose = (rights, lefts) if bit else (lefts, rights)
                cw0, cw1 = (lose[a] ^ lose[b]) & clear, lose[a + 1] ^ lose[b + 1]
                to_left = (lefts[a] ^ lefts[b] ^ bit ^ one) & one
                to_right = (rights[a] ^ rights[b] ^ bit) & one
                cw[begin + e, level, 0], cw[begin + e, level, 1] = cw0, cw1
                bits[begin + e, level] = to_left | (to_right << one)
                to_keep = to_right if bit else to_left
                for party in range(2):
                    at = b if party else a
                    control = controls[at >> 1]
                    mask = zero - control
                    seeds[at] = (keep[at] & clear) ^ (cw0 & mask)
                    seeds[at + 1] = keep[at + 1] ^ (cw1 & mask)
                    controls[at >> 1] = (keep[at] & one) ^ (control & to_keep)
        for word in range(0, words, 2):
            _values(seeds, 2 * count, word, value, rights, lefts)
            for e in range(count):
                for half in range(min(2, words - word)):
                    wanted = _minus(payload[begin + e, word + half], lefts[2 * e + half], low)
                    wanted = _plus(wanted, lefts[2 * (count + e) + half], low)
                    last[begin + e, word + half] = _minus(zero, wanted, low) if controls[count + e] else wanted


@compiled
def _expand(
    party: int, root: Any, left: Any, right: Any, value: Any, low: Any, cw: Any, bits: Any, last: Any, out: Any
) -> None:
    total, leaves, words = out.shape
    levels = bits.shape[1]
    one, zero, clear = np.uint64(1), np.uint64(0), ~np.uint64(1)
    room = 2 * leaves + 8
    seeds, lefts, rights = np.empty(2 * room, np.uint64), np.empty(2 * room, np.uint64), np.empty(2 * room, np.uint64)
    controls = np.empty(room, np.uint64)
    for e in range(total):
        seeds[0], seeds[1] = root[e, 0] & clear, root[e, 1]
        controls[0] = party
        nodes = 1
        for level in range(levels):
            below = levels - 1 - level  # levels under the children
            nodes = min(nodes, (((leaves + (1 << below) - 1) >> below) + 1) // 2)
            hash_blocks(seeds, nodes, left, lefts)
            hash_blocks(seeds, nodes, right, rights)
            cw0, cw1 = cw[e, level, 0], cw[e, level, 1]
            to_left, to_right = np.uint64(bits[e, level] & 1), np.uint64(bits[e, level] >> 1)
            for n in range(nodes - 1, -1, -1):  # from the back, so that children do not run over their elders
                control = controls[n]
                mask = zero - control
                seeds[4 * n] = (lefts[2 * n] & clear) ^ (cw0 & mask)
                seeds[4 * n + 1] = lefts[2 * n + 1] ^ (cw1 & mask)
                seeds[4 * n + 2] = (rights[2 * n] & clear) ^ (cw0 & mask)
                seeds[4 * n + 3] = rights[2 * n + 1] ^ (cw1 & mask)
                controls[2 * n] = (lefts[2 * n] & one) ^ (control & to_left)
                controls[2 * n + 1] = (rights[2 * n] & one) ^ (control & to_right)
            nodes *= 2
        for word in range(0, words, 2):
            _values(seeds, leaves, word, value, rights, lefts)
            for half in range(min(2, words - word)):
                final = last[e, word + half]
                for leaf in range(leaves):
                    share = _plus(lefts[2 * leaf + half], final & (zero - controls[leaf]), low)
                    out[e, leaf, word + half] = _minus(zero, share, low) if party else share
