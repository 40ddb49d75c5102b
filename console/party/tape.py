"""The tape: what this party receives and holds, as it happens, for its View. It exists only when a run is audited."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from unfed.plugins import Array, Entry, UnfedError
from unfed.plugins.view import ViewWriter, mend, now

from . import frames
from .frames import Frame


class Tape:
    """Writes to a file that only its owner may read; any thread may record.

    A view that could not be written once is of no more use: whatever should go into it fails from then on.

    Args:
        party: whose view it is.
        private_ids: messages carry no query ids, so those without count towards whichever query is settled next.
    """

    def __init__(self, path: Path, party: str, private_ids: bool = False) -> None:
        self._private = private_ids
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            mend(descriptor)
        except OSError as error:
            raise _cannot_write(path, party, error) from None
        self._path, self._party = path, party
        self._failed: UnfedError | None = None
        self._writer = ViewWriter(os.fdopen(descriptor, "ab"))
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[int, int]] = {}

    def message(self, sender: str, frame: Frame) -> None:
        """A message exactly as it came, and decoded. Raises UnfedError where it cannot be written."""
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
        """What the role holds. Raises UnfedError where it cannot be written."""
        plain, about, data = frames.pack(fields)
        arrays = {key: Array(dtype, shape, bytes(raw)) for (key, dtype, shape), raw in zip(about, data, strict=True)}
        self._write(Entry(kind="held", name=name, query=query, at=now(), fields=plain, arrays=arrays))

    def _write(self, entry: Entry) -> None:
        with self._lock:
            if self._failed is not None:
                raise UnfedError.of(self._failed.failure)
            try:
                self._writer.write(entry)
                self._writer.flush()  # or a full disk would be found out when the query is over
            except OSError as error:
                self._failed = _cannot_write(self._path, self._party, error)
                raise self._failed from None
            entries, size = self._counts.get(entry.query, (0, 0))
            size += sum(len(array.data) for array in entry.arrays.values()) + len(entry.frame)
            self._counts[entry.query] = entries + 1, size

    def settle(self, *ids: str) -> tuple[int, int]:
        """How many entries and bytes the view of a query that is over holds, with those of what it adopted."""
        with self._lock:
            counts = [self._counts.pop(each, (0, 0)) for each in (*ids, "") if each or self._private]
        return sum(entries for entries, _ in counts), sum(size for _, size in counts)


def _cannot_write(path: Path, party: str, error: OSError) -> UnfedError:
    return UnfedError(
        f"cannot write the view {path}: {error.strerror}",
        kind="fleet",
        party=party,
        hint="make room or mend its permissions, or run without --audit",
    )
