"""Counts what this party sends, by query and by peer, and how deep the chain of messages goes."""

from __future__ import annotations

from collections import defaultdict

from unfed.plugins import LinkCount, Trace


class Meter:
    """Bytes are those of frames, TLS overhead excluded. Written by the role's thread and by threads of channels.

    Depth is a Lamport clock per query: a message carries one more than the deepest this party has received, so the
    greatest depth anywhere is the longest chain of messages that had to wait for one another.
    """

    def __init__(self) -> None:
        self.name = ""
        self._private = False
        self._sent: defaultdict[str, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
        self._depth: defaultdict[str, int] = defaultdict(int)
        self.messages_in = self.bytes_in = self.messages_out = self.bytes_out = 0

    def begin(self, name: str, private_ids: bool) -> None:
        self.name, self._private = name, private_ids

    def sending(self, query: str) -> int:
        """The depth that a message sent now carries."""
        return self._depth[query] + 1

    def sent(self, query: str, peer: str, size: int) -> None:
        count = self._sent[query][peer]
        count[0] += 1
        count[1] += size
        self.messages_out += 1
        self.bytes_out += size

    def received(self, query: str, depth: int, size: int) -> None:
        if depth > self._depth[query]:
            self._depth[query] = depth
        self.messages_in += 1
        self.bytes_in += size

    def settle(self, query: str) -> Trace:
        """What this party sent for `query`, which is forgotten with it.

        Messages without a query's id (private ids) count towards whichever query is settled next.
        """
        sums: dict[str, list[int]] = {}
        for bucket in (query, "") if self._private else (query,):
            for peer, (messages, size) in self._sent.pop(bucket, {}).items():
                total = sums.setdefault(peer, [0, 0])
                total[0] += messages
                total[1] += size
        links = tuple(
            LinkCount(source=self.name, target=peer, messages=messages, bytes=size)
            for peer, (messages, size) in sums.items()
        )
        rounds = max(self._depth.pop(query, 0), self._depth.pop("", 0) if self._private else 0)
        return Trace(links=links, rounds=rounds)
