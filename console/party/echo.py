"""Echoes: tiny frames that tell how long a link takes. They are no messages: nothing counts, records or serves them.

Who dialled a link asks once a heartbeat, and again only after the answer; the other side answers at once. The number is
drawn at random and comes back, so that nobody can answer before being asked: a peer can make a link look slower than it
is, and not faster.
"""

from __future__ import annotations

import secrets
import time
from collections import deque

from .control import BEAT
from .frames import ECHO, ECHOED, MAX_COUNT, Frame, Header

LAST = 8
"""Round trips that the least is taken of; and echoes that may come within half the time that so many take."""
_HALF = MAX_COUNT // 2


class Echo:
    """Those of one connection.

    Args:
        asks: whether this side does.
    """

    def __init__(self, *, asks: bool) -> None:
        self._asks = asks
        self._out: tuple[int, float] | None = None  # the one that is not answered yet, and when it was sent
        self._trips: deque[float] = deque(maxlen=LAST)
        self._came: deque[float] = deque(maxlen=LAST)

    @property
    def round_trip(self) -> float | None:
        """Seconds; the least of the last few, since an event loop that computes answers late. None before the first."""
        return min(self._trips, default=None)

    def ask(self, sent: float) -> Header | None:
        """One to be sent now; None where the other side asks, or where the last one has not been answered.

        Args:
            sent: what stands in the header as that.
        """
        if not self._asks or self._out is not None:
            return None
        number = _HALF + secrets.randbelow(_HALF)  # large, so that all take as many bytes
        self._out = number, time.monotonic()
        return Header(ECHO, number, sent=sent)

    def take(self, frame: Frame, sent: float) -> Header | None:
        """One has come, or an answer: what to answer, if anything. Raises ValueError where it should not have come."""
        header = frame.header
        if header != Header(header.kind, header.id, sent=header.sent):
            raise ValueError("an echo that holds more than a number")
        if header.kind == ECHOED:
            self._answered(header.id)
            return None
        if self._asks:
            raise ValueError("an echo over a link that is not its to ask over")
        now = time.monotonic()
        if len(self._came) == LAST and now - self._came[0] < LAST * BEAT / 2:
            raise ValueError(f"more than {LAST} echoes within {LAST * BEAT / 2:g} s")
        self._came.append(now)
        return Header(ECHOED, header.id, sent=sent)

    def _answered(self, number: int) -> None:
        if self._out is None or self._out[0] != number:
            raise ValueError("it answered an echo that it was not asked")
        self._trips.append(time.monotonic() - self._out[1])
        self._out = None
