"""Cuts frames out of a stream of bytes, copying small ones once and reading large ones in place."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from . import frames
from .frames import Frame

_SCRATCH = 64 << 10


class FrameReader:
    """Fill what `buffer` gives, then tell `filled` how much: it yields the frames that are whole."""

    def __init__(self) -> None:
        self._scratch = bytearray(_SCRATCH)
        self._view = memoryview(self._scratch)
        self._have = 0
        self._body: memoryview | None = None
        self._filled = 0

    def buffer(self) -> memoryview:
        """Where the next bytes belong; never empty."""
        if self._body is not None:
            return self._body[self._filled :]
        return self._view[self._have :]

    def filled(self, count: int) -> Iterator[Frame]:
        """Frames completed by `count` more bytes; to be used up before the next call.

        Raises ValueError where a frame is malformed, after the whole ones before it; the reader is then of no more use.
        """
        if self._body is None:
            self._have += count
            return self._cut()
        self._filled += count
        if self._filled < len(self._body):
            return iter(())
        body, self._body = self._body, None
        return iter((frames.decode(body),))

    def _cut(self) -> Iterator[Frame]:
        """Take whole frames out of the scratch buffer; one too large for it gets a body of its own."""
        start = 0
        while self._have - start >= frames.LENGTH:
            first = start + frames.LENGTH
            length = frames.length_of(self._view[start:first])
            if self._have - first < length:
                if frames.LENGTH + length > _SCRATCH:
                    # Not a bytearray: those are filled with zeros at once, so that announcing bytes would cost memory.
                    self._body = np.empty(length, np.uint8).data
                    self._filled = self._have - first
                    self._body[: self._filled] = self._view[first : self._have]
                    start = self._have
                break
            start = first + length
            yield frames.decode(self._scratch[first:start])
        if start:
            left = self._have - start
            self._scratch[:left] = self._scratch[start : self._have]
            self._have = left
