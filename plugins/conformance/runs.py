"""Looks for many runs of bytes at once: protocols with thousands of rounds make views too large to search for each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import NamedTuple

import numpy as np

from .chance import least_bits
from .haystack import Numbers

ANCHOR = 3
"""Bytes of a run that a table tells it by; only where they stand is the run compared."""
MANY = 10_000
"""Places from which on it is quicker to look for each run by itself."""


_PIECE = 1 << 15
"""Values looked at in one go: few enough to stay in the processor's cache."""


class Run(NamedTuple):
    """Bytes of a secret, under the name that a report uses.

    Attributes:
        least: so many of the first bytes have to stand somewhere, and those after them as far as chance asks for more;
            all of them by default.
        kind: of the numbers that the bytes are, such as i8 or f4. An array of that kind is searched as numbers, where
            chance is told by what the numbers are, not here.
    """

    what: str
    data: bytes
    least: int = 0
    kind: str = ""

    @property
    def head(self) -> bytes:
        return self.data[: self.least or None]

    def stands(self, data: bytes, place: int, bits: float) -> bool:
        """Whether it stands at this place of `data`, for at least so many bits."""
        if not data.startswith(self.head, place):
            return False
        alike = (mine == there for mine, there in zip(self.data, data[place : place + len(self.data)], strict=False))
        return 8 * sum(1 for _ in takewhile(bool, alike)) >= bits


def pairs(data: Numbers) -> Numbers:
    """A number below 2^16 of each two neighbours of bytes: a table of these fits in the processor's cache."""
    return data[1:].astype(np.uint16) << 8 | data[:-1]


def anchors(
    values: Numbers,
    likely: Callable[[Numbers], Numbers],
    table: Numbers,
    codes: Callable[[Numbers, Numbers], Numbers],
) -> tuple[Numbers, Numbers]:
    """Where ANCHOR neighbours have a code that is in the table, and these codes; no more than tell that there are MANY.

    Args:
        likely: tells, and quickly so, at which places a code is worth to be looked up.
        codes: gives the codes of the ANCHOR neighbours at these places.
    """
    places, known, count = [np.empty(0, np.int64)], [np.empty(0, np.int64)], 0
    for start in range(0, len(values) - ANCHOR + 1, _PIECE):
        piece = values[start : start + _PIECE + ANCHOR - 1]
        near = likely(piece[: 2 - ANCHOR])
        here = codes(piece, near)
        hits = table[here]
        places.append(near[hits] + start)
        known.append(here[hits].astype(np.int64))
        if (count := count + len(known[-1])) > MANY:
            break
    return np.concatenate(places), np.concatenate(known)


def _codes(data: Numbers, at: Numbers) -> Numbers:
    codes: Numbers = sum(data[at + offset].astype(np.uint32) << 8 * offset for offset in range(ANCHOR))
    return codes


class Runs:
    """Named runs of bytes.

    Args:
        places: how many places of random bytes they are looked for at; a run by chance does not count. None by default.
    """

    def __init__(self, named: Sequence[Run], places: int = 0) -> None:
        self._named = named
        self._bits = least_bits(places, len(named)) if places else 0.0
        self._names = list(dict.fromkeys(run.what for run in named))
        self._short = [run for run in named if len(run.head) < ANCHOR]
        self._pairs = np.zeros(1 << 16, dtype=bool)
        self._table = np.zeros(1 << (8 * ANCHOR), dtype=bool)
        self._at: defaultdict[int, list[tuple[Run, int]]] = defaultdict(list)
        for run in named:
            if len(head := run.head) >= ANCHOR:
                offset = max(range(len(head) - ANCHOR + 1), key=lambda at: len({*head[at : at + ANCHOR]} - {0}))
                code = int.from_bytes(head[offset : offset + ANCHOR], "little")
                self._pairs[code & 0xFFFF] = self._table[code] = True
                self._at[code].append((run, offset))

    def within(self, data: bytes, kind: str = "") -> Iterator[str]:
        """Names of the runs that stand in `data`, each once, in the order that they were given in.

        Args:
            kind: of numbers that the data is an array of.
        """
        aside = kind or None
        found = {run.what for run in self._short if self._holds(data, run)}
        places, codes = anchors(np.frombuffer(data, dtype=np.uint8), self._likely, self._table, _codes)
        if len(places) > MANY:
            found = {run.what for run in self._named if run.kind != aside and self._holds(data, run)}
        else:
            for place, code in zip(places.tolist(), codes.tolist(), strict=True):
                for run, offset in self._at[code]:
                    if place >= offset and run.kind != aside and run.stands(data, place - offset, self._bits):
                        found.add(run.what)
        yield from (what for what in self._names if what in found)

    def _likely(self, data: Numbers) -> Numbers:
        return np.flatnonzero(self._pairs[pairs(data)])

    def _holds(self, data: bytes, run: Run) -> bool:
        place = data.find(run.head)
        while place >= 0 and not run.stands(data, place, self._bits):
            place = data.find(run.head, place + 1)
        return place >= 0
