"""Searches what a coalition saw for a secret: in every message, in what messages add up to, and in shares put together.

What is found was there. What is not found may still be: a secret that is encrypted, compressed, transformed by a
model's layers, or shared among more messages than are tried here is not recognised. Attacks are for that; see
docs/write-a-backend.md for the forms and limits.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .haystack import Numbers, Placed, Seen, arrays, raw, rows_of, streams, texts
from .needles import FRACTIONS, Needles
from .runs import Runs

CLOSE = 5e-3
"""Largest error of a recognised row, relative to its largest value: coarser than bfloat16, far finer than chance."""
ALL_PAIRS = 48
"""Up to this many arrays of one size every pair is tried as two shares; of more, only neighbours and like turns."""
NEIGHBOURS = 8


class Finding(NamedTuple):
    """Part of a secret, and where it lay. `what` goes on to say in which form; `how` says how it was put together."""

    what: str
    where: str
    how: str = ""

    @property
    def kind(self) -> str:
        """The secret without its form, such as `prompt token ids`."""
        return self.what.partition(" as ")[0]

    def __str__(self) -> str:
        return f"{self.what} in {self.where}{f' ({self.how})' if self.how else ''}"


def search(seen: Sequence[Seen], needles: Needles) -> list[Finding]:
    """All findings in what one coalition saw: each kind once per message; put together only if it lies nowhere."""
    found: dict[tuple[str, str], Finding] = {}
    placed = arrays(seen)
    direct = itertools.chain(
        _in_messages(seen, needles),
        _in_streams(streams(seen, pooled=True), needles) if len({each.party for each in seen}) > 1 else (),
        *(_in_rows(each.values, each.where, needles) for each in placed),
    )
    for finding in direct:
        found.setdefault((finding.kind, finding.where.partition(", field ")[0]), finding)
    known = {finding.kind for finding in found.values()}
    for finding in _in_shares(placed, needles):
        if finding.kind not in known:
            found.setdefault((finding.kind, ""), finding)
    return list(found.values())


def _in_messages(seen: Sequence[Seen], needles: Needles) -> Iterator[Finding]:
    runs = Runs(needles.raw)
    for each in seen:
        for data in raw(each.entry):
            yield from (Finding(what, each.where) for what in runs.within(data))
            yield from (Finding(what, each.where) for what, pattern in needles.spelled if pattern.search(data))
    for where, text in texts(seen).items():
        yield from (Finding(what, where) for what, word in needles.words if word in text)
    yield from _in_streams(streams(seen), needles)


def _in_streams(numbers: dict[str, Numbers], needles: Needles) -> Iterator[Finding]:
    for where, stream in numbers.items():
        for what, windows in needles.windows:
            if holds(stream, windows):
                yield Finding(what, where)


def holds(stream: Numbers, windows: Numbers) -> bool:
    """Whether any of the windows [n, k] stands in `stream` as it is."""
    width = windows.shape[1]
    if len(stream) < width:
        return False
    last = len(stream) - width + 1
    if not np.isin(stream[:last], windows[:, 0]).any():  # as hardly ever in what looks random: no need to try each
        return False
    for window in windows:
        places = np.flatnonzero(stream[:last] == window[0])
        for offset in range(1, width):
            places = places[stream[places + offset] == window[offset]]
        if places.size:
            return True
    return False


def _in_rows(values: Numbers, where: str, needles: Needles) -> Iterator[Finding]:
    for what, targets, shift in needles.rows:
        rows = rows_of(values, targets.shape[1])
        if rows is not None and matches(rows, targets.astype(np.float64), shift):
            yield Finding(what, where)


def matches(rows: Numbers, targets: Numbers, shift: bool = False) -> bool:
    """Whether any row [n, width] is any target [m, width] up to scale.

    Args:
        shift: up to a constant too, so that logits are found as log-probabilities and as probabilities.
    """
    for candidates in (rows, np.log(rows)) if shift and len(rows) and (rows > 0).all() else (rows,):
        near, far = _unit(candidates, shift), _unit(targets, shift)
        cosine = near @ far.T
        for place, target in np.argwhere(np.abs(cosine) > 1 - 1e-4):
            sign = np.sign(cosine[place, target])
            if np.abs(near[place] - sign * far[target]).max() <= CLOSE * np.abs(far[target]).max():
                return True
    return False


def _unit(rows: Numbers, shift: bool) -> Numbers:
    if shift:
        rows = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    units: Numbers = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
    return units


def _in_shares(placed: Sequence[Placed], needles: Needles) -> Iterator[Finding]:
    """Pairs of arrays of one type and size, added, subtracted and xored; and sums over all parties."""
    alike: defaultdict[tuple[str, int], list[Placed]] = defaultdict(list)
    for each in placed:
        if each.values.size > 1 and each.values.dtype.kind in "fiu":
            alike[str(each.values.dtype), each.values.size].append(each)
    for group in alike.values():
        for one, other in _pairs(group):
            where = f"{one.where} and {other.where}"
            for form, values in _together(one.values.reshape(-1), other.values.reshape(-1)):
                for finding in _in_opened(values, where, needles):
                    yield finding._replace(how=f"{form} of two arrays")
        parties = {each.party for each in group}
        if len(parties) > 2:
            for (where, _), shares in _by_turn(group).items():
                if {each.party for each in shares} == parties and len(shares) == len(parties):
                    with np.errstate(over="ignore", invalid="ignore"):
                        total = sum(each.values.reshape(-1) for each in shares)
                    for finding in _in_opened(np.asarray(total), f"{where} of all of them", needles):
                        yield finding._replace(how="sum over all parties")


def _pairs(group: Sequence[Placed]) -> Iterable[tuple[Placed, Placed]]:
    if len(group) <= ALL_PAIRS:
        return itertools.combinations(group, 2)
    near = [(group[a], group[b]) for a in range(len(group)) for b in range(a + 1, min(a + 1 + NEIGHBOURS, len(group)))]
    like = [pair for shares in _by_turn(group).values() for pair in itertools.combinations(shares, 2)]
    return near + like


def _by_turn(group: Sequence[Placed]) -> dict[tuple[str, int], list[Placed]]:
    """Arrays that different parties received as the same field of the same message, turn by turn."""
    turns: defaultdict[tuple[str, int], list[Placed]] = defaultdict(list)
    for each in group:
        turns[each.where.replace(f" to {each.party}", ""), each.turn].append(each)
    return turns


def _together(a: Numbers, b: Numbers) -> Iterator[tuple[str, Numbers]]:
    with np.errstate(over="ignore", invalid="ignore"):
        yield "sum", a + b
        yield "difference", a - b
        if a.dtype.kind == "u":
            yield "difference", b - a
        if a.dtype.kind in "iu":
            yield "xor", a ^ b


def _in_opened(values: Numbers, where: str, needles: Needles) -> Iterator[Finding]:
    """A secret in what shares came to: its bytes, ids at any usual fixed point, and rows."""
    if values.dtype.itemsize == 1:  # blinded bytes
        data = values.tobytes()
        yield from (Finding(what, where) for what, needle in needles.raw if needle in data)
    yield from _in_rows(_signed(values), where, needles)
    if values.dtype.kind in "iu":
        whole = _signed(values).astype(np.int64)
        set_bits = int(np.bitwise_or.reduce(whole, axis=None))
        for bits in FRACTIONS:
            if not set_bits & ((1 << bits) - 1):
                yield from _in_streams({where: whole >> bits}, needles)
    elif np.isfinite(values).all():
        nearest = np.rint(values)
        if np.abs(nearest).max() < 2**53 and np.abs(values - nearest).max() < 1e-2:
            yield from _in_streams({where: nearest.astype(np.int64)}, needles)


def _signed(values: Numbers) -> Any:
    return values.view(f"i{values.dtype.itemsize}") if values.dtype.kind == "u" else values
