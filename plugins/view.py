"""A View: everything one party received and held. What an attacker sitting there has.

On disk a view is a file of entries, each a four-byte little-endian length and that many bytes of msgpack.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    import numpy as np


class Array(msgspec.Struct, frozen=True):
    """A tensor as raw little-endian bytes. `dtype` is torch's name for it, such as `float32` or `bfloat16`."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes

    def numpy(self) -> np.ndarray[Any, Any]:
        """The values; bfloat16 is widened to float32."""
        import numpy as np  # slow to import, and the console paints without it

        if self.dtype == "bfloat16":
            wide = np.frombuffer(self.data, dtype="<u2").astype(np.uint32) << 16
            return wide.view(np.float32).reshape(self.shape)
        return np.frombuffer(self.data, dtype=np.dtype(self.dtype)).reshape(self.shape)


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message received, or one thing held (weights opened, keys expanded, caches).

    Attributes:
        sender: who sent it; empty for `held`.
        name: the method or channel purpose of a message; what is held otherwise.
        at: seconds on the host's monotonic clock.
        frame: the message's header exactly as it came; its arrays stand in `arrays`.
    """

    kind: Literal["message", "held"]
    name: str
    sender: str = ""
    query: str = ""
    at: float = 0.0
    fields: dict[str, Any] = {}
    arrays: dict[str, Array] = {}
    frame: bytes = b""


class ViewWriter:
    """Appends entries to a file as they happen."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._encode = msgspec.msgpack.Encoder().encode

    def write(self, entry: Entry) -> None:
        data = self._encode(entry)
        self._file.write(len(data).to_bytes(4, "little") + data)

    def flush(self) -> None:
        self._file.flush()


def mend(descriptor: int) -> None:
    """Drop what a view's file ends with after its last whole entry: its writer may have been killed over another."""
    size, end = os.fstat(descriptor).st_size, 0
    while len(head := os.pread(descriptor, 4, end)) == 4 and end + 4 + int.from_bytes(head, "little") <= size:
        end += 4 + int.from_bytes(head, "little")
    if end < size:
        os.ftruncate(descriptor, end)


class View(msgspec.Struct, frozen=True):
    """What one party saw. Read lazily from its file, since a view may be large."""

    party: str
    path: Path

    def __iter__(self) -> Iterator[Entry]:
        decode = msgspec.msgpack.Decoder(Entry).decode
        with self.path.open("rb") as file:
            while head := file.read(4):
                data = file.read(int.from_bytes(head, "little"))
                if len(head) < 4 or len(data) < int.from_bytes(head, "little"):
                    return  # the party was killed while writing: what came before is whole
                yield decode(data)

    def messages(self, query: str | None = None) -> Iterator[Entry]:
        """Messages received, of one query or of all."""
        return (entry for entry in self if entry.kind == "message" and query in (None, entry.query))

    def haystack(self) -> Iterator[bytes]:
        """Every run of bytes that a canary may hide in: raw frames, packed fields, and each array's data."""
        for entry in self:
            yield entry.frame
            yield msgspec.msgpack.encode(entry.fields)
            for array in entry.arrays.values():
                yield array.data


def now() -> float:
    """Seconds on the clock that entries use; comparable between parties of one host."""
    return time.monotonic()
