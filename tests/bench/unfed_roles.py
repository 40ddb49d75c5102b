"""The roles of `unfed` on the same paths, whose cells are not sealed: what circuits cost is what they take less."""

from __future__ import annotations

from unfed.backends.unfed.circuits import onion
from unfed.backends.unfed.circuits.hop import Hop as SealingHop
from unfed.backends.unfed.client.client import Client as SealingClient
from unfed.backends.unfed.nodes.entry import Entry as SealingEntry
from unfed.backends.unfed.nodes.last import Last as SealingLast


class Open(onion.Chain):
    """Hands cells on as they are."""

    def seal(self, data: bytes) -> bytes:
        return data

    def open(self, data: bytes) -> bytes:
        return data


class _Open:
    """A process that plays a role which has this first seals nothing."""

    def __init__(self, *args: object) -> None:
        onion.Chain = Open  # type: ignore[misc]
        super().__init__(*args)


class Client(_Open, SealingClient):
    pass


class Hop(_Open, SealingHop):
    pass


class Entry(_Open, SealingEntry):
    pass


class Last(_Open, SealingLast):
    pass
