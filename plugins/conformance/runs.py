"""Looks for many runs of bytes at once: protocols with thousands of rounds make views too large to search for each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from .haystack import Numbers

ANCHOR = 3
"""Bytes of a run that a table tells it by; only where they stand is the run compared."""
MANY = 10_000
"""Places from which on it is quicker to look for each run by itself."""


_PIECE = 1 << 15
"""Values looked at in one go: few enough to stay in the processor's cache."""


def anchors(values: Numbers, table: Numbers, codes: Callable[[Numbers], Numbers]) -> tuple[Numbers, Numbers]:
    """Where ANCHOR neighbours have a code that is in the table, and these codes; no more than tell that there are MANY.

    Args:
        codes: gives one code for each place at which ANCHOR neighbours stand.
    """
    places, known, count = [np.empty(0, np.int64)], [np.empty(0, np.int64)], 0
    for start in range(0, len(values) - ANCHOR + 1, _PIECE):
        here = codes(values[start : start + _PIECE + ANCHOR - 1])
        hits = np.flatnonzero(table[here])
        places.append(hits + start)
        known.append(here[hits].astype(np.int64))
        if (count := count + len(hits)) > MANY:
            break
    return np.concatenate(places), np.concatenate(known)


def _codes(data: Numbers) -> Numbers:
    values = data.astype(np.uint32)
    return values[:-2] | values[1:-1] << 8 | values[2:] << 16


class Runs:
    """Named runs of bytes."""

    def __init__(self, named: Sequence[tuple[str, bytes]]) -> None:
        self._named = named
        self._names = list(dict.fromkeys(what for what, _ in named))
        self._short = [(what, run) for what, run in named if len(run) < ANCHOR]
        self._table = np.zeros(1 << (8 * ANCHOR), dtype=bool)
        self._at: defaultdict[int, list[tuple[str, bytes, int]]] = defaultdict(list)
        for what, run in named:
            if len(run) >= ANCHOR:
                offset = max(range(len(run) - ANCHOR + 1), key=lambda place: len({*run[place : place + ANCHOR]} - {0}))
                code = int.from_bytes(run[offset : offset + ANCHOR], "little")
                self._table[code] = True
                self._at[code].append((what, run, offset))

    def within(self, data: bytes) -> Iterator[str]:
        """Names of the runs that stand in `data`, each once, in the order that they were given in."""
        found = {what for what, run in self._short if run in data}
        places, codes = anchors(np.frombuffer(data, dtype=np.uint8), self._table, _codes)
        if len(places) > MANY:
            found = {what for what, run in self._named if run in data}
        else:
            for place, code in zip(places.tolist(), codes.tolist(), strict=True):
                for what, run, offset in self._at[code]:
                    if place >= offset and data.startswith(run, place - offset):
                        found.add(what)
        yield from (what for what in self._names if what in found)
