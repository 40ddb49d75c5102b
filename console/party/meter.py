"""Counts what this party sends, by query and by peer, and how deep the chain of messages goes."""

from __future__ import annotations

import threading

from unfed.plugins import LinkCount, Trace

from .ended import Ended
from .frames import MAX_COUNT


class Meter:
    """Bytes are those of frames, TLS overhead excluded. Used by the event loop and by threads of channels.

    Depth is a Lamport clock per query: a message carries one more than the deepest this party has received, so the
    greatest depth anywhere is the longest chain of messages that had to wait for one another.
    """

    def __init__(self, ended: Ended) -> None:
        self.name = ""
        self._private = False
        self._ended = ended
        self._lock = threading.Lock()
        self._sent: dict[str, dict[str, list[int]]] = {}
        self._depth: dict[str, int] = {}
        self.messages_in = self.bytes_in = self.messages_out = self.bytes_out = 0

    def begin(self, name: str, private_ids: bool) -> None:
        """Whose messages are counted. With `private_ids` all count towards whichever query is settled next."""
        self.name, self._private = name, private_ids

    def sending(self, query: str) -> int:
        """The depth that a message sent now carries."""
        return self._depth.get("" if self._private else query, 0) + 1

    def sent(self, query: str, peer: str, size: int) -> None:
        with self._lock:
            self.messages_out += 1
            self.bytes_out += size
            if query in self._ended:
                return
            count = self._sent.setdefault("" if self._private else query, {}).setdefault(peer, [0, 0])
            count[0] += 1
            count[1] += size

    def received(self, query: str, depth: int, size: int) -> None:
        with self._lock:
            self.messages_in += 1
            self.bytes_in += size
            bucket = "" if self._private else query
            if depth > self._depth.get(bucket, 0) and query not in self._ended:
                self._depth[bucket] = min(depth, MAX_COUNT - 1)  # so that the next one can be sent

    def settle(self, query: str, *adopted: str) -> Trace:
        """What this party sent for `query`, and what it adopted, which is forgotten; rounds are the query's own."""
        buckets = [""] if self._private else [query, *adopted]
        sums: dict[str, list[int]] = {}
        with self._lock:
            depths = [self._depth.pop(bucket, 0) for bucket in buckets]
            for bucket in buckets:
                for peer, (messages, size) in self._sent.pop(bucket, {}).items():
                    known = sums.setdefault(peer, [0, 0])
                    known[0] += messages
                    known[1] += size
        links = tuple(
            LinkCount(source=self.name, target=peer, messages=messages, bytes=size)
            for peer, (messages, size) in sums.items()
        )
        return Trace(links=links, rounds=depths[0])
