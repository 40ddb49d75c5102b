"""Looks for many windows of numbers at once, as `runs` does for bytes: streams of millions of numbers are common."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from .haystack import Numbers
from .runs import ANCHOR, MANY, anchors

_BITS = 22
"""Of the codes that tell a window by its first numbers; only where these stand is it compared."""
_FACTORS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)


class Windows:
    """Named windows [n, k] of whole numbers."""

    def __init__(self, named: Sequence[tuple[str, Numbers]]) -> None:
        self._named = [(what, windows) for what, windows in named if len(windows)]
        self._short = [(what, windows) for what, windows in self._named if windows.shape[1] < ANCHOR]
        largest = [windows.max(axis=1) for _, windows in self._named]
        self._span = (min(each.min() for each in largest), max(each.max() for each in largest)) if largest else None
        self._table = np.zeros(1 << _BITS, dtype=bool)
        self._at: defaultdict[int, list[tuple[str, Numbers]]] = defaultdict(list)
        for what, windows in self._named:
            for window in windows if windows.shape[1] >= ANCHOR else ():
                code = int(_codes(window[:ANCHOR])[0])
                self._table[code] = True
                self._at[code].append((what, window))

    def within(self, stream: Numbers) -> Iterator[str]:
        """Names of the windows that stand in `stream` (int64), each once, in the order that they were given in."""
        # A window stands only where its largest number does, and of what looks random hardly anything is as small.
        if self._span is None or not ((stream >= self._span[0]) & (stream <= self._span[1])).any():
            return
        found = {what for what, windows in self._short if holds(stream, windows)}
        places, codes = anchors(stream, self._table, _codes)
        if len(places) > MANY:
            found |= {what for what, windows in self._named if holds(stream, windows)}
        else:
            for place, code in zip(places.tolist(), codes.tolist(), strict=True):
                for what, window in self._at[code]:
                    if np.array_equal(stream[place : place + len(window)], window):
                        found.add(what)
        yield from dict.fromkeys(what for what, _ in self._named if what in found)


def _codes(stream: Numbers) -> Numbers:
    """A number below 2^_BITS of each ANCHOR neighbours."""
    numbers = stream.astype(np.int64).view(np.uint64)
    one, two, three = (np.uint64(factor) for factor in _FACTORS)
    mixed: Numbers = numbers[:-2] * one + numbers[1:-1] * two + numbers[2:] * three
    return mixed >> np.uint64(64 - _BITS)


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
