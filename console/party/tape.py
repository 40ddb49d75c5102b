"""The tape: what this party receives and holds, as it happens, for its View. It exists only when a run is audited."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from unfed.plugins import Array, Entry, UnfedError
from unfed.plugins.view import ViewWriter, now

from . import frames
from .frames import Frame


class Tape:
    """Writes to a file that only its owner may read; any thread may record.

    Args:
        private_ids: messages carry no query ids, so those without count towards whichever query is settled next.
    """

    def __init__(self, path: Path, private_ids: bool = False) -> None:
        self._private = private_ids
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise UnfedError(f"cannot write the view {path}: {error.strerror}", kind="fleet") from None
        self._writer = ViewWriter(os.fdopen(descriptor, "ab"))
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[int, int]] = {}

    def message(self, sender: str, frame: Frame) -> None:
        """A message exactly as it came, and decoded."""
        header = frame.header
        self._write(
            Entry(
                kind="message",
                name=header.name,
                sender=sender,
                query=header.query,
                at=now(),
                fields=header.fields,
                arrays=frame.kept(),
                frame=bytes(frame.body[: 4 + int.from_bytes(frame.body[:4], "little")]),
            )
        )

    def held(self, name: str, query: str, fields: dict[str, Any]) -> None:
        plain, about, data = frames.pack(fields)
        arrays = {key: Array(dtype, shape, bytes(raw)) for (key, dtype, shape), raw in zip(about, data, strict=True)}
        self._write(Entry(kind="held", name=name, query=query, at=now(), fields=plain, arrays=arrays))

    def _write(self, entry: Entry) -> None:
        with self._lock:
            self._writer.write(entry)
            entries, size = self._counts.get(entry.query, (0, 0))
            size += sum(len(array.data) for array in entry.arrays.values()) + len(entry.frame)
            self._counts[entry.query] = entries + 1, size

    def settle(self, query: str) -> tuple[int, int]:
        """How many entries and bytes the view of a query that is over holds; they are on disk from now on."""
        with self._lock:
            self._writer.flush()
            counts = [self._counts.pop(each, (0, 0)) for each in ({query, ""} if self._private else {query})]
        return sum(entries for entries, _ in counts), sum(size for _, size in counts)

    def flush(self) -> None:
        with self._lock:
            self._writer.flush()
