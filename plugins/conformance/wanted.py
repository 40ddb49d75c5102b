"""A secret made ready to be looked for, all its needles at once; and what is said of what is found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .chance import least_bits
from .haystack import Numbers, rows_of
from .needles import Needles
from .rows import Rows
from .runs import Runs
from .spelled import written_out
from .windows import Windows


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


class Wanted:
    """Each method gives the names of the needles that it finds.

    Args:
        places: how many places of random bytes and numbers are looked at, in all; what chance makes there does not
            count.
    """

    def __init__(self, needles: Needles, places: int = 0) -> None:
        self._runs, self._windows = Runs(needles.raw, places), Windows(needles.windows, places)
        self._spelled, self._words = needles.spelled, needles.words
        self._bits = least_bits(places, len(needles.spelled)) if places else 0.0
        self._digits = min((each.digits for each in needles.spelled), default=0)
        self._rows = [(what, Rows(targets, shift)) for what, targets, shift in needles.rows]

    @property
    def beyond(self) -> list[str]:
        """Names of numbers that are too few to be told from chance among so many places."""
        return self._windows.beyond

    def in_bytes(self, data: bytes) -> Iterator[str]:
        """Runs of bytes only."""
        return self._runs.within(data)

    def in_message(self, data: bytes, kind: str = "") -> Iterator[str]:
        """Runs of bytes, and numbers that are written out, in bytes or in an array of this kind of number."""
        yield from self._runs.within(data, kind)
        if written := written_out(data, self._digits) if self._spelled else b"":
            yield from (spelled.what for spelled in self._spelled if spelled.within(written, self._bits))

    def in_text(self, letters: str) -> Iterator[str]:
        return (what for what, word in self._words if word in letters)

    def in_numbers(self, stream: Numbers) -> Iterator[str]:
        return self._windows.within(stream)

    def in_rows(self, values: Numbers) -> Iterator[str]:
        for what, wanted in self._rows:
            rows = rows_of(values, wanted.width)
            if rows is not None and wanted.within(rows):
                yield what
