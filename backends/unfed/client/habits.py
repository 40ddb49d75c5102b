"""How whoever asks has been asking lately, so that decoys come like their queries."""

from __future__ import annotations

import secrets
from collections import deque
from typing import NamedTuple

_RECENT = 64
_random = secrets.SystemRandom()


class Moment(NamedTuple):
    """When a session begins: so many seconds after the one before was over or, if `beside` it, after that began."""

    seconds: float
    beside: bool = False


class Habits:
    """Lengths of prompts, and when they come."""

    def __init__(self) -> None:
        self._lengths: deque[int] = deque(maxlen=_RECENT)
        self._moments: deque[Moment] = deque(maxlen=_RECENT)

    def asked(self, tokens: int, moment: Moment | None) -> None:
        """A prompt of so many tokens; when, if there was one before it."""
        self._lengths.append(tokens)
        if moment is not None:
            self._moments.append(moment)

    def length(self) -> int:
        return _random.choice(self._lengths)

    def moment(self) -> Moment:
        return _random.choice(self._moments) if self._moments else Moment(0.0)
