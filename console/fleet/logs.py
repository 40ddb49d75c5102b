"""Logs of parties: where they lie, and what they end with."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path


class PartyLog:
    """The log of one process.

    Args:
        path: the file, where there is one on this host.
        start: its size before the process was started; what stands before that is of others of the same name.
    """

    def __init__(self, path: Path | None, start: int) -> None:
        self._path, self._start = path, start

    def tail(self, lines: int) -> list[str]:
        """The last lines."""
        if self._path is None:
            return []
        try:
            with self._path.open("rb") as file:
                file.seek(max(self._start, file.seek(0, 2) - 256 * lines))
                return file.read().decode(errors="replace").splitlines()[-lines:]
        except OSError:
            return []

    def last_words(self) -> str:
        """The last line, as a hint to whoever reads of the process's end."""
        said = [line.strip() for line in self.tail(20) if line.strip()]
        if self._path is None:
            return "it has no log on this host"
        words = f"its last words were: {said[-1][:200]}" if said else "it said nothing"
        return f"{words}; log: {self._path}"


def log_path(folder: Path, variant: str, name: str) -> Path:
    return folder / f"{file_name(variant)}.{file_name(name)}.log"


def file_name(text: str) -> str:
    """`text` as a file's name: kept as it is where it can be, and otherwise made safe, short and still distinct."""
    safe = "".join(c if c.isalnum() or c in "-_.=,[]" else "_" for c in text)[:80]
    return safe if safe == text and safe.strip(".") else f"{safe}-{sha256(text.encode()).hexdigest()[:8]}"
