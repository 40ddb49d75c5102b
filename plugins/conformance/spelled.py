"""Looks for numbers that are written out in decimals."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_BETWEEN = 4
"""Most bytes between numbers that are written out."""


class Spelled(NamedTuple):
    """Numbers written out one after the other, with something between them.

    Attributes:
        longest: one of them, around which alone the pattern is tried; it is no farther than `reach` from either end.
        digits: how many they have in all.
        bits: what they hold, against random bytes.
        further: the numbers after them, which a match goes on with as far as chance asks for more.
    """

    what: str
    longest: bytes
    reach: int
    pattern: re.Pattern[bytes]
    digits: int
    bits: int
    further: Sequence[bytes] = ()

    @classmethod
    def of(cls, what: str, numbers: Sequence[bytes], further: Sequence[bytes] = ()) -> Spelled:
        pattern = rb"(?<![0-9])" + rb"[^0-9]{1,%d}".join(numbers) % ((_BETWEEN,) * (len(numbers) - 1)) + rb"(?![0-9])"
        reach = sum(len(each) + _BETWEEN for each in numbers)
        digits, bits = len(b"".join(numbers)), sum(map(_written, numbers))
        return cls(what, max(numbers, key=len), reach, re.compile(pattern), digits, bits, further)

    def within(self, data: bytes, bits: float = 0.0) -> bool:
        """Whether they are written out in `data`, in digits of at least so many bits."""
        place = data.find(self.longest)
        while place >= 0:
            found = self.pattern.search(data, max(0, place - self.reach), place + self.reach + 1)
            if found and self._bits_from(data, found.end()) >= bits:
                return True
            place = data.find(self.longest, place + 1)
        return False

    def _bits_from(self, data: bytes, end: int) -> int:
        bits = self.bits
        for number in self.further:
            more = re.compile(rb"[^0-9]{1,%d}%s(?![0-9])" % (_BETWEEN, number)).match(data, end)
            if more is None:
                break
            bits, end = bits + _written(number), more.end()
        return bits


def _written(number: bytes) -> int:
    """Bits in a number that is written out, less those that the freedom before it takes back."""
    return 8 * len(number) - math.ceil(math.log2(_BETWEEN))


def written_out(data: bytes, digits: int) -> bytes:
    """The parts of `data` where at least so many digits stand close to one another: of random bytes, next to nothing.

    What stands in different parts is kept further apart than numbers may be.
    """
    if digits < 2:
        return data
    places = np.flatnonzero(np.frombuffer(data, np.uint8) - np.uint8(ord("0")) < 10)
    close = np.flatnonzero(places[digits - 1 :] - places[: 1 - digits] <= (_BETWEEN + 1) * (digits - 1))
    if not len(close):
        return b""
    ends = np.flatnonzero(np.diff(close) >= digits)  # where one part ends and the next begins
    first, last = places[close[np.r_[0, ends + 1]]], places[close[np.r_[ends, -1]] + digits - 1]
    return bytes(_BETWEEN + 1).join(data[a : b + 1] for a, b in zip(first.tolist(), last.tolist(), strict=True))
