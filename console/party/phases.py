"""How long the phases of one query took, and how much of its time was offline."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from unfed.plugins.query import PhaseKind


class Phases:
    """Any thread may time a phase. Offline phases that overlap count once."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()
        self._offline = 0.0
        self._open = 0
        self._since = 0.0

    @contextmanager
    def time(self, name: str, kind: PhaseKind) -> Iterator[None]:
        began = time.perf_counter()
        if kind == "offline":
            with self._lock:
                self._since = self._since if self._open else began
                self._open += 1
        try:
            yield
        finally:
            ended = time.perf_counter()
            with self._lock:
                self.seconds[name] = self.seconds.get(name, 0.0) + ended - began
                if kind == "offline":
                    self._open -= 1
                    self._offline += 0.0 if self._open else ended - self._since

    def offline(self) -> float:
        """Seconds so far in which some offline phase was open."""
        with self._lock:
            return self._offline + (time.perf_counter() - self._since if self._open else 0.0)
