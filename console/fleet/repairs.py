"""Which parties of a fleet are being replaced right now, and which have been replaced too often."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

COMEBACKS, COMEBACKS_WITHIN = 3, 60.0
"""A party that dies more often than this in so many seconds is not replaced any more."""


class Repairs:
    """Replacements under way. `whole` is set while there are none: questions wait for that."""

    def __init__(self) -> None:
        self.whole = asyncio.Event()
        self.whole.set()
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._deaths: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=COMEBACKS))

    def too_often(self, name: str) -> bool:
        """Take note of a death, and say whether there were too many of late."""
        deaths, now = self._deaths[name], time.monotonic()
        often = len(deaths) == COMEBACKS and now - deaths[0] < COMEBACKS_WITHIN
        deaths.append(now)
        return often

    @contextmanager
    def one(self) -> Iterator[None]:
        """A replacement, as long as it takes."""
        self._begin()
        try:
            yield
        finally:
            self._end()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """A replacement in the background: under way from this moment on."""
        self._begin()
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever does the work tells of it
        self._end()

    def _begin(self) -> None:
        self._count += 1
        self.whole.clear()

    def _end(self) -> None:
        self._count -= 1
        if not self._count:
            self.whole.set()
