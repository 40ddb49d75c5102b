"""Secrets that are shared: what pairs of arrays come to when they are put together, and all parties' arrays in sum.

Pairs are put together by the batch. A batch may show more than its pairs do, where one ends and the next begins, so
what it shows is looked for in each pair by itself; of random numbers, hardly any batch shows anything.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from .haystack import Numbers, Placed
from .needles import FRACTIONS
from .wanted import Finding, Wanted

ALL_PAIRS = 48
"""Up to this many arrays of one size every pair is tried as two shares; of more, only neighbours and like turns."""
NEIGHBOURS = 8
_FORMS = 4
"""Ways at most to put two arrays together."""
_BATCH = 1 << 16
"""Numbers put together in one go, or one pair if that is more."""


def in_shares(placed: Sequence[Placed], wanted: Wanted) -> Iterator[Finding]:
    """Pairs of arrays of one type and size, added, subtracted and xored; and sums over all parties."""
    for group in _alike(placed):
        yield from _in_pairs(group, wanted)
        parties = {each.party for each in group}
        if len(parties) > 2:
            for (where, _), turn in _by_turn(group).items():
                shares = [group[place] for place in turn]
                if {each.party for each in shares} == parties and len(shares) == len(parties):
                    with np.errstate(over="ignore", invalid="ignore"):
                        total = sum(each.values.reshape(-1) for each in shares)
                    for what in _in_opened(np.asarray(total)[None], wanted):
                        yield Finding(what, f"{where} of all of them", "sum over all parties")


def numbers_in_pairs(placed: Sequence[Placed]) -> int:
    """How many numbers the pairs of arrays come to, in all forms."""
    return sum(_FORMS * group[0].values.size * len(_pairs(group)) for group in _alike(placed))


def _alike(placed: Sequence[Placed]) -> Iterable[list[Placed]]:
    alike: defaultdict[tuple[str, int], list[Placed]] = defaultdict(list)
    for each in placed:
        if each.values.size > 1 and each.values.dtype.kind in "fiu":
            alike[str(each.values.dtype), each.values.size].append(each)
    return [group for group in alike.values() if len(group) > 1]


def _pairs(group: Sequence[Placed]) -> list[tuple[int, int]]:
    count = len(group)
    if count <= ALL_PAIRS:
        return list(itertools.combinations(range(count), 2))
    near = [(a, b) for a in range(count) for b in range(a + 1, min(a + 1 + NEIGHBOURS, count))]
    return near + [pair for turn in _by_turn(group).values() for pair in itertools.combinations(turn, 2)]


def _by_turn(group: Sequence[Placed]) -> dict[tuple[str, int], list[int]]:
    """Arrays that different parties received as the same field of the same message, turn by turn."""
    turns: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for place, each in enumerate(group):
        turns[each.where.replace(f" to {each.party}", ""), each.turn].append(place)
    return turns


def _in_pairs(group: Sequence[Placed], wanted: Wanted) -> Iterator[Finding]:
    arrays = np.stack([each.values.reshape(-1) for each in group])
    pairs, batch = _pairs(group), max(1, _BATCH // arrays.shape[1])
    for start in range(0, len(pairs), batch):
        here = np.array(pairs[start : start + batch])
        for form, values in _together(arrays[here[:, 0]], arrays[here[:, 1]]):
            if not any(True for _ in _in_opened(values, wanted)):
                continue
            for (one, other), opened in zip(here.tolist(), values, strict=True):
                for what in _in_opened(opened[None], wanted):
                    yield Finding(what, f"{group[one].where} and {group[other].where}", f"{form} of two arrays")


def _together(a: Numbers, b: Numbers) -> Iterator[tuple[str, Numbers]]:
    with np.errstate(over="ignore", invalid="ignore"):
        yield "sum", a + b
        yield "difference", a - b
        if a.dtype.kind == "u":
            yield "difference", b - a
        if a.dtype.kind in "iu":
            yield "xor", a ^ b


def _in_opened(values: Numbers, wanted: Wanted) -> Iterator[str]:
    """A secret in what shares came to [pairs, n]: its bytes, ids at any usual fixed point, and rows."""
    if values.dtype.itemsize == 1:  # blinded bytes
        yield from wanted.in_bytes(values.tobytes())
    yield from wanted.in_rows(values.view(f"i{values.itemsize}") if values.dtype.kind == "u" else values)
    if values.dtype.kind in "iu":
        whole = values.view(f"u{values.itemsize}")  # as ids are, up to the largest that fits
        set_bits = np.bitwise_or.reduce(whole, axis=1)
        for bits in (each for each in FRACTIONS if each < 8 * values.itemsize):
            fitting = (set_bits & whole.dtype.type((1 << bits) - 1)) == 0
            if fitting.any():
                yield from wanted.in_numbers(_as_stream(whole[fitting] >> whole.dtype.type(bits)))
    else:
        nearest = np.rint(values)
        with np.errstate(invalid="ignore"):
            near = np.isfinite(values) & (np.abs(nearest) < 2**53) & (np.abs(values - nearest) < 1e-2)
        if (fitting := near.all(axis=1)).any():
            yield from wanted.in_numbers(nearest[fitting].reshape(-1).astype(np.int64))


def _as_stream(whole: Numbers) -> Numbers:
    return whole.reshape(-1) if whole.itemsize == 1 else whole.reshape(-1).astype(np.int64)
