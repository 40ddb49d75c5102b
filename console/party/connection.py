"""One authenticated connection of the asyncio side: bytes in, frames out, and the calls that wait for replies."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from typing import Any, Protocol

from .echo import Echo
from .frames import Frame
from .identity import Identity
from .reader import FrameReader
from .transport import Transport

log = logging.getLogger("unfed.wire")

_JOIN = 64 << 10
"""Frames up to this size are joined before writing: one TLS record is cheaper than several."""


class Owner(Protocol):
    """Whom a connection tells of what happens to it."""

    @property
    def identity(self) -> Identity: ...

    def joined(self, connection: Connection) -> None: ...

    def left(self, connection: Connection) -> None: ...

    def arrived(self, connection: Connection, frame: Frame) -> None: ...


class Connection(asyncio.BufferedProtocol):
    """Reads frames from a TLS transport and hands them on; a malformed one ends this connection and nothing else.

    Args:
        expected: who should be at the other end, where we dialled; empty for whoever comes.
    """

    def __init__(self, owner: Owner, expected: str = "") -> None:
        self._owner = owner
        self._expected = expected
        self._reader = FrameReader()
        self._room = asyncio.Event()
        self._room.set()
        self._transport: Transport | None = None
        self._number = 0
        self._late: set[int] = set()
        self.calls: dict[int, asyncio.Future[Any]] = {}
        self.queries: set[str] = set()
        self.echo = Echo(asks=bool(expected))
        self._since = time.monotonic()
        self.peer = ""
        self.certificate = b""
        self.reason = ""
        self.dropped = self.broke_protocol = False

    # -- the transport's side

    def begin(self, sock: ssl.SSLSocket) -> None:
        """Take over a socket whose handshake is done; it is dropped where somebody else is at the other end."""
        self._transport = Transport(sock, self)
        peer = self._owner.identity.peer_of(sock)
        if peer is None:
            self.drop("a key that no peer of this party has (any more)")
        elif self._expected not in ("", peer):
            self.drop(f"{peer} answered at the address of {self._expected}")
        else:
            self.peer, self.certificate = peer, sock.getpeercert(binary_form=True) or b""
            self._owner.joined(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.reason = self.reason or "the connection ended"
        self._room.set()
        if self.peer:
            self._owner.left(self)

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._reader.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        if self.dropped:
            return
        try:
            for frame in self._reader.filled(nbytes):
                self._owner.arrived(self, frame)
                if self.dropped:
                    return  # for what this frame holds
        except ValueError as error:
            self.drop(str(error), broke_protocol=True)

    # -- our side

    @property
    def open(self) -> bool:
        return not self.reason and self._transport is not None

    @property
    def age(self) -> float:
        """Seconds since it was begun."""
        return time.monotonic() - self._since

    def write(self, pieces: list[bytes | memoryview], size: int) -> None:
        """Send one frame, which is the peer's from now on. Raises ConnectionError where the connection is gone."""
        if self._transport is None or self.reason or self._transport.is_closing():
            raise ConnectionError(self.reason or "the connection is closed")
        if len(pieces) == 1:
            self._transport.write(pieces[0])
        elif size < _JOIN:
            self._transport.write(b"".join(pieces))
        else:
            for piece in pieces:
                self._transport.write(piece)

    @property
    def full(self) -> bool:
        """Whether the peer is behind, so that writers should wait for `room`."""
        return not self._room.is_set()

    async def room(self) -> None:
        """Wait until the peer has caught up. Raises ConnectionError where the connection is gone by then."""
        await self._room.wait()
        if self.reason:
            raise ConnectionError(self.reason)

    def begin_call(self) -> tuple[int, asyncio.Future[Any]]:
        """A call's number, and the future that its reply is put into."""
        self._number += 1
        reply = self.calls[self._number] = asyncio.get_running_loop().create_future()
        return self._number, reply

    def end_call(self, number: int) -> None:
        """The caller no longer waits; a reply that still comes is late, not wrong."""
        if self.calls.pop(number, None) is not None:
            self._late.add(number)

    def answered(self, number: int) -> asyncio.Future[Any] | None:
        """The future of a call that has its reply; None where the caller no longer waits.

        Raises:
            ValueError: no such call was made over this connection, or it has been answered before.
        """
        if (reply := self.calls.pop(number, None)) is not None:
            return reply
        if number not in self._late:
            raise ValueError(f"it answered call {number}, which it was not asked")
        self._late.discard(number)
        return None

    def drop(self, reason: str, *, broke_protocol: bool = False) -> None:
        """End the connection for a reason that the log tells."""
        if self.reason:
            return
        self.dropped, self.reason, self.broke_protocol = True, reason, broke_protocol
        log.warning("refused %s: %s", self.peer or "a connection", reason)
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
