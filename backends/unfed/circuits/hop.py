"""A hop of circuits: what every relay is, the guard included, and what the ends of circuits are besides."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from unfed.plugins import Context, Role, UnfedError, serve
from unfed.plugins.signatures import is_signed

from .onion import Chain, Unsealed, new_id, new_secret, opened

Key = tuple[str, bytes]
"""Who is at the other end of a link, and what a circuit is called on it."""
_SEEN = 4096
"""Openings that a hop remembers, so that none is taken twice."""


class Passage(NamedTuple):
    """A circuit at a hop. At its last hop nobody is `after`."""

    out: Chain
    back: Chain
    before: Key
    after: Key | None


class Hop(Role):
    """Knows who is before and who is after it on a circuit, and nothing else.

    Settings:
        behind: names of the hops that circuits may go on to from here.
    """

    async def start(self) -> None:
        self._secret = new_secret()
        self._behind: tuple[str, ...] = tuple(self.ctx.settings["behind"])
        self._passages: dict[Key, Passage] = {}
        self._returning: dict[Key, Passage] = {}
        self._seen = Seen()

    # -- for ends of circuits

    async def arrived(self, passage: Passage, told: bytes) -> None:
        """A circuit ends here; `told` is what its client has to say at its opening."""
        raise self._misused(passage.before[0], "opened a circuit that ends at a relay")

    async def received(self, passage: Passage, data: bytes) -> None:
        """A cell came out of a circuit that ends here."""
        raise NotImplementedError

    async def closed(self, passage: Passage) -> None:
        """A circuit that ends here is over."""

    async def answer(self, passage: Passage, data: bytes) -> None:
        """Send `data` back to the client of a circuit that ends here."""
        await self._back(passage, data)

    # -- circuits

    @serve
    async def directory(self, sender: str) -> dict[str, list[bytes]]:
        """Public keys of this hop and all behind it, each with its party's signature."""
        found: dict[str, list[bytes]] = {}
        for name in self._behind:
            with contextlib.suppress(UnfedError):  # one that is gone is not in it until it is back
                found |= await self.ctx.call(name, "directory")
        public = self._secret.public_key().public_bytes_raw()
        return found | {self.ctx.name: [public, self.ctx.sign(announcement(public))]}

    @serve
    async def open(self, sender: str, *, circuit: bytes, data: bytes) -> None:
        """A circuit is opened: this hop's part of it is at the top of `data`."""
        before = sender, circuit
        if before in self._passages or not self._seen.add(data[:32]):
            raise self._misused(sender, "opened a circuit twice")
        try:
            opening, keys = opened(self._secret, data)
        except Unsealed as error:
            raise self._misused(sender, f"sent {error}") from None
        if opening.next and opening.next not in self._behind:
            raise self._misused(sender, f"opened a circuit to {opening.next[:64]!r}, which is not behind this hop")
        after = (opening.next, new_id()) if opening.next else None
        passage = self._passages[before] = Passage(keys.out, keys.back, before, after)
        if after is None:
            try:
                await self.arrived(passage, opening.data)
            except UnfedError:
                del self._passages[before]
                raise
        else:
            self._returning[after] = passage
            await self.ctx.send(after[0], "open", circuit=after[1], data=opening.data)

    @serve
    async def cell(self, sender: str, *, circuit: bytes, data: bytes) -> None:
        """A cell on its way out."""
        passage = self._passages.get((sender, circuit))
        if passage is None:
            raise self._misused(sender, "sent a cell of a circuit that is not open")
        try:
            data = passage.out.open(data)
        except Unsealed as error:
            raise self._misused(sender, f"sent {error}") from None
        if passage.after is None:
            await self.received(passage, data)
        elif passage.after in self._returning:
            await self.ctx.send(passage.after[0], "cell", circuit=passage.after[1], data=data)
        passage.out.prepare()

    @serve
    async def back(self, sender: str, *, circuit: bytes, data: bytes) -> None:
        """A cell on its way back. It may have met the word that its circuit is over, and is dropped then."""
        if (passage := self._returning.get((sender, circuit))) is not None:
            await self._back(passage, data)

    async def _back(self, passage: Passage, data: bytes) -> None:
        peer, circuit = passage.before
        await self.ctx.send(peer, "back", circuit=circuit, data=passage.back.seal(data))
        passage.back.prepare()

    @serve
    async def close(self, sender: str, *, circuit: bytes) -> None:
        """A circuit is over."""
        await self._over((sender, circuit))

    async def _over(self, before: Key) -> None:
        if (passage := self._passages.pop(before, None)) is None:
            return
        if passage.after is None:
            await self.closed(passage)
        elif self._returning.pop(passage.after, None) is not None:
            await self.ctx.send(passage.after[0], "close", circuit=passage.after[1])

    async def gone(self, peer: str) -> None:
        """Circuits that came from there are over; on those that went there nothing is sent any more."""
        for after in [after for after in self._returning if after[0] == peer]:
            del self._returning[after]
        await asyncio.gather(*(self._over(before) for before in self._passages if before[0] == peer))

    def _misused(self, sender: str, what: str) -> UnfedError:
        return UnfedError(f"{sender} {what}", kind="protocol", party=sender)


class Seen:
    """Remembers the last few thousand of what is added, in a fixed amount of memory."""

    def __init__(self, most: int = _SEEN) -> None:
        self._slots, self._most, self._next = bytearray(most * 32), most, 0
        self._count = 0

    def add(self, what: bytes) -> bool:
        """Whether these 32 bytes are new."""
        at = self._slots.find(what, 0, self._count * 32)
        while at > 0 and at % 32:
            at = self._slots.find(what, at + 1, self._count * 32)
        if at >= 0:
            return False
        self._slots[self._next * 32 : self._next * 32 + 32] = what
        self._next = (self._next + 1) % self._most
        self._count = min(self._count + 1, self._most)
        return True


def announcement(public: bytes) -> bytes:
    """What a hop signs of its public key."""
    return b"unfed.backends.unfed hop\0" + public


def public_keys(ctx: Context, told: Any, names: Iterable[str], lost: Collection[str] = ()) -> dict[str, bytes]:
    """At the client: the hops' public keys as their parties have signed them.

    Args:
        lost: hops whose keys may be missing.
    Raises:
        UnfedError: (`protocol`) a key is missing, or another party's.
    """
    found: dict[str, bytes] = {}
    for name in names:
        line = told.get(name) if isinstance(told, dict) else None
        if line is None and name in lost:
            continue
        if not isinstance(line, list) or len(line) != 2 or not all(isinstance(part, bytes) for part in line):
            raise UnfedError(f"the directory has no key of {name}", kind="protocol", party=name)
        public, signature = line
        if len(public) != 32 or not is_signed(ctx.certificate(name), announcement(public), signature):
            raise UnfedError(f"the directory's key of {name} is not its own", kind="protocol", party=name)
        found[name] = public
    return found
