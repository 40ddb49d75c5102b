"""Cuts frames out of a stream of bytes, copying small ones once and reading large ones in place."""

from __future__ import annotations

from . import frames
from .frames import Frame

_SCRATCH = 64 << 10


class FrameReader:
    """Fill what `buffer` gives, then tell `filled` how much: it returns the frames that are whole."""

    def __init__(self) -> None:
        self._scratch = bytearray(_SCRATCH)
        self._view = memoryview(self._scratch)
        self._have = 0
        self._body: bytearray | None = None
        self._filled = 0

    def buffer(self) -> memoryview:
        """Where the next bytes belong; never empty."""
        if self._body is not None:
            return memoryview(self._body)[self._filled :]
        return self._view[self._have :]

    def filled(self, count: int) -> list[Frame]:
        """Frames completed by `count` more bytes. Raises ValueError where a frame is malformed."""
        if self._body is None:
            self._have += count
            return self._cut()
        self._filled += count
        if self._filled < len(self._body):
            return []
        body, self._body = self._body, None
        return [frames.decode(body)]

    def _cut(self) -> list[Frame]:
        """Take whole frames out of the scratch buffer; one too large for it gets a body of its own."""
        found: list[Frame] = []
        start = 0
        while self._have - start >= frames.LENGTH:
            first = start + frames.LENGTH
            length = frames.length_of(self._view[start:first])
            if self._have - first < length:
                if frames.LENGTH + length > _SCRATCH:
                    self._body = bytearray(length)
                    self._filled = self._have - first
                    self._body[: self._filled] = self._view[first : self._have]
                    start = self._have
                break
            start = first + length
            found.append(frames.decode(self._scratch[first:start]))
        if start:
            left = self._have - start
            self._scratch[:left] = self._scratch[start : self._have]
            self._have = left
        return found
