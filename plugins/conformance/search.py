"""Searches what a coalition saw for a secret: in every message, in what messages add up to, and in shares put together.

What is found was there. What is not found may still be: a secret that is encrypted, compressed, transformed by a
model's layers, or shared among more messages than are tried here is not recognised. Attacks are for that; see
docs/write-a-backend.md for the forms and limits.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .haystack import Numbers, Placed, Seen, arrays, raw, rows_of, streams, texts
from .needles import FRACTIONS, Needles
from .runs import Runs
from .windows import Windows

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
    views: dict[str, list[Seen]] = {}
    for each in seen:
        views.setdefault(each.party, []).append(each)
    return Search(views, needles).by(views)


class Search:
    """One secret, looked for in the views of one coalition after the other.

    What lies in one party's view, and what its arrays come to with those of others, is looked for once.

    Attributes:
        needles: the secret's forms; `runs`, `windows` and `numbers` (the longest of each that is spelled) are these,
            made ready to be looked for all at once.
    """

    def __init__(self, views: Mapping[str, Sequence[Seen]], needles: Needles) -> None:
        self.needles = needles
        self.runs, self.windows = Runs(needles.raw), Windows(needles.windows)
        self.numbers = Runs([(each.longest.decode(), each.longest) for each in needles.spelled])
        self._views = views
        self._placed = {party: arrays(seen) for party, seen in views.items()}
        self._alone: dict[str, list[Finding]] = {}
        self._shared: dict[frozenset[str], list[Finding]] = {}

    def by(self, coalition: Iterable[str]) -> list[Finding]:
        """What these parties can find together: see `search`."""
        parties = [party for party in coalition if self._views.get(party)]
        found: dict[tuple[str, str], Finding] = {}
        direct = [finding for party in parties for finding in self._by_one(party)]
        if len(parties) > 1:
            seen = [each for party in parties for each in self._views[party]]
            direct += _in_streams(streams(seen, pooled=True), self)
        for finding in direct:
            found.setdefault((finding.kind, finding.where.partition(", field ")[0]), finding)
        known = {finding.kind for finding in found.values()}
        for finding in self._by_shares(parties):
            if finding.kind not in known:
                found.setdefault((finding.kind, ""), finding)
        return list(found.values())

    def _by_one(self, party: str) -> list[Finding]:
        if party not in self._alone:
            rows = (_in_rows(each.values, each.where, self.needles) for each in self._placed[party])
            self._alone[party] = [*_in_messages(self._views[party], self), *itertools.chain(*rows)]
        return self._alone[party]

    def _by_shares(self, parties: Sequence[str]) -> list[Finding]:
        placed = [each for party in parties for each in self._placed[party]]
        holders = frozenset(each.party for each in placed)
        if holders not in self._shared:
            self._shared[holders] = list(_in_shares(placed, self))
        return self._shared[holders]


def _in_messages(seen: Sequence[Seen], looked_for: Search) -> Iterator[Finding]:
    needles = looked_for.needles
    for each in seen:
        for data in raw(each.entry):
            yield from (Finding(what, each.where) for what in looked_for.runs.within(data))
            standing = set(looked_for.numbers.within(data))
            for spelled in needles.spelled:
                if spelled.longest.decode() in standing and spelled.within(data):
                    yield Finding(spelled.what, each.where)
    for where, text in texts(seen).items():
        yield from (Finding(what, where) for what, word in needles.words if word in text)
    yield from _in_streams(streams(seen), looked_for)


def _in_streams(numbers: dict[str, Numbers], looked_for: Search) -> Iterator[Finding]:
    for where, stream in numbers.items():
        yield from (Finding(what, where) for what in looked_for.windows.within(stream))


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


def _in_shares(placed: Sequence[Placed], looked_for: Search) -> Iterator[Finding]:
    """Pairs of arrays of one type and size, added, subtracted and xored; and sums over all parties."""
    alike: defaultdict[tuple[str, int], list[Placed]] = defaultdict(list)
    for each in placed:
        if each.values.size > 1 and each.values.dtype.kind in "fiu":
            alike[str(each.values.dtype), each.values.size].append(each)
    for group in alike.values():
        for one, other in _pairs(group):
            where = f"{one.where} and {other.where}"
            for form, values in _together(one.values.reshape(-1), other.values.reshape(-1)):
                for finding in _in_opened(values, where, looked_for):
                    yield finding._replace(how=f"{form} of two arrays")
        parties = {each.party for each in group}
        if len(parties) > 2:
            for (where, _), shares in _by_turn(group).items():
                if {each.party for each in shares} == parties and len(shares) == len(parties):
                    with np.errstate(over="ignore", invalid="ignore"):
                        total = sum(each.values.reshape(-1) for each in shares)
                    for finding in _in_opened(np.asarray(total), f"{where} of all of them", looked_for):
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


def _in_opened(values: Numbers, where: str, looked_for: Search) -> Iterator[Finding]:
    """A secret in what shares came to: its bytes, ids at any usual fixed point, and rows."""
    if values.dtype.itemsize == 1:  # blinded bytes
        yield from (Finding(what, where) for what in looked_for.runs.within(values.tobytes()))
    yield from _in_rows(_signed(values), where, looked_for.needles)
    if values.dtype.kind in "iu":
        whole = _signed(values).astype(np.int64)
        set_bits = int(np.bitwise_or.reduce(whole, axis=None))
        for bits in FRACTIONS:
            if not set_bits & ((1 << bits) - 1):
                yield from _in_streams({where: whole >> bits}, looked_for)
    elif np.isfinite(values).all():
        nearest = np.rint(values)
        if np.abs(nearest).max() < 2**53 and np.abs(values - nearest).max() < 1e-2:
            yield from _in_streams({where: nearest.astype(np.int64)}, looked_for)


def _signed(values: Numbers) -> Any:
    return values.view(f"i{values.dtype.itemsize}") if values.dtype.kind == "u" else values
