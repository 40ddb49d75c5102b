"""How whoever asks has been asking lately, so that decoys come like their queries."""

from __future__ import annotations

import secrets
from array import array
from typing import NamedTuple

_RECENT = 64
_random = secrets.SystemRandom()


class Moment(NamedTuple):
    """When a session begins: so many seconds after the one before was over or, if `beside` it, after that began."""

    seconds: float
    beside: bool = False


class Habits:
    """Lengths of prompts, and when they come: of the last few, as numbers, so that they take no more room with time."""

    def __init__(self) -> None:
        self._lengths, self._seconds, self._beside = array("q"), array("d"), array("b")

    def asked(self, tokens: int, moment: Moment | None) -> None:
        """A prompt of so many tokens; when, if there was one before it."""
        self._lengths.append(tokens)
        if moment is not None:
            self._seconds.append(moment.seconds)
            self._beside.append(moment.beside)
        for kept in (self._lengths, self._seconds, self._beside):
            del kept[:-_RECENT]

    def length(self) -> int:
        return _random.choice(self._lengths)

    def moment(self) -> Moment:
        if not self._seconds:
            return Moment(0.0)
        number = _random.randrange(len(self._seconds))
        return Moment(self._seconds[number], bool(self._beside[number]))
