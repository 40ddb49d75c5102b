"""One authenticated connection of the asyncio side: bytes in, frames out."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from .reader import FrameReader

if TYPE_CHECKING:
    from .wire import Wire

log = logging.getLogger("unfed.wire")

_JOIN = 64 << 10
"""Frames up to this size are joined before writing: one TLS record is cheaper than several."""


class Connection(asyncio.BufferedProtocol):
    """Reads frames from a TLS transport and hands them to the wire; a malformed one ends this connection alone."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._reader = FrameReader()
        self._room = asyncio.Event()
        self._room.set()
        self._transport: asyncio.Transport | None = None
        self.peer = ""
        self.reason = ""
        self.broke_protocol = False

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "writelines")
        self._transport = transport  # type: ignore[assignment]
        peer = self._wire.identity.peer_of(transport.get_extra_info("ssl_object"))
        if peer is None:
            self.drop("a key that no peer of this party has")
            return
        self.peer = peer
        self._wire.joined(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._room.set()
        if self.peer:
            self._wire.left(self)

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._reader.buffer()

    def buffer_updated(self, nbytes: int) -> None:
        try:
            for frame in self._reader.filled(nbytes):
                self._wire.arrived(self, frame)
        except ValueError as error:
            self.drop(str(error), broke_protocol=True)

    # -- our side

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def write(self, pieces: list[bytes | memoryview], size: int) -> None:
        """Send one frame; waits while the peer is behind."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError(self.reason or "the connection is closed")
        if len(pieces) == 1:
            self._transport.write(pieces[0])
        elif size < _JOIN:
            self._transport.write(b"".join(pieces))
        else:
            self._transport.writelines(pieces)
        if not self._room.is_set():
            await self._room.wait()

    def drop(self, reason: str, *, broke_protocol: bool = False) -> None:
        """End the connection for a reason that the log tells."""
        self.reason, self.broke_protocol = reason, broke_protocol
        log.warning("refused %s: %s", self.peer or "a connection", reason)
        if self._transport is not None:
            self._transport.abort()
