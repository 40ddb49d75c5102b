"""Looks for many windows of numbers at once, as `runs` does for bytes: streams of millions of numbers are common."""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from .chance import least_bits
from .haystack import Numbers
from .runs import ANCHOR, MANY, anchors, pairs

_BITS = 22
"""Of the codes that tell a window by its first numbers; only where these stand is it compared."""
_FACTORS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)


class Window(NamedTuple):
    """Whole numbers [n] of a secret, under the name that a report uses.

    Attributes:
        least: so many of the first numbers have to stand somewhere, and those after them as far as chance asks for
            more; all of them by default.
        alphabet: the secret's numbers are below this.
    """

    what: str
    numbers: Numbers
    least: int = 0
    alphabet: int = 1 << 62

    @property
    def head(self) -> Numbers:
        return self.numbers[: self.least or None]

    def standing(self, stream: Numbers, place: int) -> int:
        """How many of the numbers stand at this place of `stream`; none where they are too few."""
        here = stream[place : place + len(self.numbers)]
        other = np.flatnonzero(here != self.numbers[: len(here)])
        count = int(other[0]) if len(other) else len(here)
        return count if count >= len(self.head) else 0


class Windows:
    """Named windows of whole numbers.

    Args:
        places: how many places of random numbers they are looked for at; a window by chance does not count. None by
            default.
    """

    def __init__(self, named: Sequence[Window], places: int = 0) -> None:
        self._named = [window for window in named if len(window.head)]
        self._bits = least_bits(places, len(self._named)) if places else 0.0
        self._short = [window for window in self._named if len(window.head) < ANCHOR]
        largest = [int(window.head.max()) for window in self._named]
        self._span = (min(largest), max(largest)) if largest else None
        self._table = np.zeros(1 << _BITS, dtype=bool)
        self._pairs = np.zeros(1 << 16, dtype=bool)
        self._at: defaultdict[int, list[Window]] = defaultdict(list)
        for window in self._named:
            if len(window.head) >= ANCHOR:
                code = int(_codes(window.head, np.zeros(1, np.int64))[0])
                self._table[code] = True
                if ((two := window.head[:2].astype(np.uint8)) == window.head[:2]).all():
                    self._pairs[pairs(two)] = True
                self._at[code].append(window)

    @property
    def beyond(self) -> list[str]:
        """Names of which no window is long enough to be told from chance, in whatever stream."""
        within_reach = {each.what for each in self._named if len(each.numbers) * math.log2(each.alphabet) >= self._bits}
        return [what for what in dict.fromkeys(each.what for each in self._named) if what not in within_reach]

    def within(self, stream: Numbers) -> Iterator[str]:
        """Names of the windows that stand in `stream` (whole numbers), each once, in the order they were given in."""
        # A window stands only where its largest number does, and of what looks random hardly anything is as small.
        if self._span is None or not ((stream >= self._span[0]) & (stream <= self._span[1])).any():
            return
        information = functools.cache(lambda alphabet: bits_of(stream, alphabet))

        def tells(window: Window, place: int) -> bool:
            count = window.standing(stream, place)
            return count > 0 and count * information(window.alphabet) >= self._bits

        def holds(window: Window) -> bool:
            return any(tells(window, place) for place in places_of(stream, window.head).tolist())

        found = {window.what for window in self._short if holds(window)}
        places, codes = anchors(stream, self._likely, self._table, _codes)
        if len(places) > MANY:
            found |= {window.what for window in self._named if holds(window)}
        else:
            for place, code in zip(places.tolist(), codes.tolist(), strict=True):
                found |= {window.what for window in self._at[code] if window.what not in found and tells(window, place)}
        yield from dict.fromkeys(window.what for window in self._named if window.what in found)

    def _likely(self, stream: Numbers) -> Numbers:
        if stream.dtype == np.uint8:
            return np.flatnonzero(self._pairs[pairs(stream)])
        return np.arange(len(stream) - 1)


def bits_of(stream: Numbers, alphabet: int) -> float:
    """Information in one number of a stream, in bits: what tells apart those of the alphabet that the stream has.

    Eight where all of them are bytes, whatever they are written in.
    """
    largest = stream[(stream >= 0) & (stream < alphabet)].max(initial=0)
    return math.log2(1 + int(largest))


def _codes(stream: Numbers, at: Numbers) -> Numbers:
    """A number below 2^_BITS of the ANCHOR neighbours at each of these places."""
    mixed = np.zeros(len(at), np.uint64)
    for offset, factor in enumerate(_FACTORS):
        mixed += stream[at + offset].astype(np.int64).view(np.uint64) * np.uint64(factor)
    return mixed >> np.uint64(64 - _BITS)


def places_of(stream: Numbers, window: Numbers) -> Numbers:
    """Where the window [k] stands in `stream` as it is."""
    last = max(0, len(stream) - len(window) + 1)
    places = np.flatnonzero(stream[:last] == window[0])
    for offset in range(1, len(window)):
        places = places[stream[places + offset] == window[offset]]
    return places
