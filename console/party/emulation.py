"""Links slower than the machine's own, emulated where a message arrives: a token bucket, then a delay."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from itertools import count

from unfed.plugins import Emulation


class SlowLink:
    """When the messages of one direction of one link are due. Shared by all connections of that link, in any thread.

    A bucket of `burst` bytes fills at `bandwidth`; a message leaves it when its bytes are there, and arrives `delay`
    later. Both ends read the same monotonic clock, so time spent on the real loopback counts towards the delay.
    """

    def __init__(self, link: Emulation) -> None:
        self._link = link
        self._lock = threading.Lock()
        self._free_at = 0.0  # when the bucket would be exactly full of what has left so far
        self._last = 0.0

    def due(self, sent: float, size: int) -> float:
        """When a message of `size` bytes sent at `sent` is to be delivered, on the monotonic clock; never reordered."""
        sent = min(sent, time.monotonic())
        with self._lock:
            if self._link.bandwidth:
                slack = self._link.burst / self._link.bandwidth
                self._free_at = max(self._free_at, sent - slack) + size / self._link.bandwidth
                sent = max(sent, self._free_at)
            self._last = max(self._last, sent + self._link.delay)
            return self._last


class SlowLinks:
    """The emulated links of one party, by the peer at the other end."""

    def __init__(self, link: Emulation) -> None:
        self._link = link
        self._lock = threading.Lock()
        self._links: dict[str, SlowLink] = {}

    def of(self, peer: str) -> SlowLink:
        with self._lock:
            return self._links.setdefault(peer, SlowLink(self._link))


class DelayLine:
    """A thread that hands messages on when they are due; event loops only wake at whole milliseconds."""

    def __init__(self) -> None:
        self._queue: list[tuple[float, int, Callable[[], object]]] = []
        self._order = count()
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="delay-line", daemon=True).start()

    def at(self, due: float, deliver: Callable[[], object]) -> None:
        """Call `deliver`, which must be quick and thread-safe, at `due`."""
        with self._changed:
            heapq.heappush(self._queue, (due, next(self._order), deliver))
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue:
                    self._changed.wait()
                due, _, deliver = self._queue[0]
                if (ahead := due - time.monotonic()) > 0:
                    self._changed.wait(ahead)
                    continue
                heapq.heappop(self._queue)
            try:
                deliver()
            except RuntimeError:
                return  # the event loop has ended, and the party with it
