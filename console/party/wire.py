"""The asyncio side of a party's links: calls, replies and messages over one TLS connection per peer."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import socket
import time
from collections.abc import Callable
from itertools import count
from typing import Any

from unfed.plugins import Emulation, UnfedError

from . import frames
from .connection import Connection
from .control import Peer
from .emulation import DelayLine, SlowLink
from .frames import CALL, FAULT, REPLY, TELL, Frame, Header
from .identity import Identity
from .meter import Meter

log = logging.getLogger("unfed.wire")

PATIENCE = 10.0
"""Seconds to wait for a link that should be there."""

current_query: contextvars.ContextVar[str] = contextvars.ContextVar("query", default="")

Deliver = Callable[[Connection, Frame], None]
Complain = Callable[[UnfedError], None]
Record = Callable[[str, Frame], None]


class Wire:
    """Every link of one party, apart from its channels.

    Args:
        identity: keys and pins.
        meter: counts what is sent and received.
        link: emulated delay and bandwidth of everything that arrives.
        private_ids: send no query ids.
        deliver: takes a call or message that has arrived, on the event loop.
        complain: is told of a peer that broke the protocol.
        record: puts what arrives on the tape; None when the run is not audited.
    """

    def __init__(
        self,
        identity: Identity,
        meter: Meter,
        link: Emulation,
        private_ids: bool,
        deliver: Deliver,
        complain: Complain,
        record: Record | None = None,
    ) -> None:
        self.identity = identity
        self._meter = meter
        self._link = link
        self._private = private_ids
        self._deliver = deliver
        self._complain = complain
        self._record = record
        self._peers: dict[str, Peer] = {}
        self._connections: dict[str, Connection] = {}
        self._arrivals: dict[str, asyncio.Event] = {}
        self._waiting: dict[int, tuple[str, asyncio.Future[Any]]] = {}
        self._ids = count(1)
        self._slow: dict[str, SlowLink] = {}
        self._emulated = bool(link.delay or link.bandwidth)
        self._delays = DelayLine() if self._emulated else None
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> int:
        """Accept pinned peers on `host`; returns the port."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_log_refusal)
        self._server = await loop.create_server(
            lambda: Connection(self), host, port, ssl=self.identity.server, ssl_handshake_timeout=PATIENCE
        )
        return int(self._server.sockets[0].getsockname()[1])

    def pin(self, peers: dict[str, Peer]) -> None:
        """Make `peers` the ones this party knows, and drop every connection with anybody else."""
        for name, connection in list(self._connections.items()):
            if name not in peers or peers[name].certificate != self._peers[name].certificate:
                connection.drop("its key was replaced")
                self._connections.pop(name, None)
        self._peers = peers
        self.identity.pin({name: peer.certificate for name, peer in peers.items()})

    async def meet(self) -> None:
        """Dial the peers that are ours to dial and wait for the others.

        Raises:
            UnfedError: a peer that could not be reached in time.
        """
        await asyncio.gather(*(self._connection(name) for name in self._peers))

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in self._connections.values():
            if connection._transport is not None:
                connection._transport.close()

    # -- sending

    async def tell(self, peer: str, method: str, fields: dict[str, Any]) -> None:
        await self._send(peer, TELL, 0, method, current_query.get(), fields)

    async def call(self, peer: str, method: str, fields: dict[str, Any]) -> Any:
        number = next(self._ids)
        reply = asyncio.get_running_loop().create_future()
        self._waiting[number] = (peer, reply)
        try:
            await self._send(peer, CALL, number, method, current_query.get(), fields)
            return await reply
        finally:
            del self._waiting[number]

    async def answer(self, connection: Connection, to: Header, value: Any) -> None:
        """Reply to the call whose header is `to`."""
        fields = value if isinstance(value, dict) else {"": value}
        await self._send(connection.peer, REPLY, to.id, "", to.query, fields, connection)

    async def fault(self, connection: Connection, to: Header, error: UnfedError) -> None:
        await self._write(connection, Header(FAULT, to.id, "", to.query, failure=error.failure), [])

    async def _send(
        self,
        peer: str,
        kind: Any,
        number: int,
        name: str,
        query: str,
        fields: dict[str, Any],
        connection: Connection | None = None,
    ) -> None:
        plain, about, data = frames.pack(fields)
        sent = time.monotonic() if self._emulated else 0.0
        depth = self._meter.sending(query)
        header = Header(kind, number, name, "" if self._private else query, depth, sent, plain, tuple(about))
        await self._write(connection or await self._connection(peer), header, data, query)

    async def _write(self, connection: Connection, header: Header, data: list[memoryview], query: str = "") -> None:
        pieces = frames.encode(header, data)
        size = sum(piece.nbytes if isinstance(piece, memoryview) else len(piece) for piece in pieces)
        self._meter.sent(query or header.query, connection.peer, size)
        try:
            await connection.write(pieces, size)
        except ConnectionError as error:
            raise lost(connection.peer, str(error)) from None

    async def _connection(self, peer: str) -> Connection:
        """The open connection with `peer`: as it is, dialled anew, or awaited, as the roster says."""
        connection = self._connections.get(peer)
        if connection is not None and connection.open:
            return connection
        known = self._peers.get(peer)
        if known is None:
            raise UnfedError(
                f"there is no link to {peer!r}",
                kind="role",
                hint=f"the plan links it to {', '.join(self._peers) or 'nobody'}",
            )
        try:
            async with asyncio.timeout(PATIENCE):
                if known.dial:
                    await self._dial(known)
                else:
                    await self._arrivals.setdefault(peer, asyncio.Event()).wait()
        except TimeoutError:
            raise lost(peer, f"no connection within {PATIENCE:g} s") from None
        connection = self._connections.get(peer)
        if connection is None or not connection.open:
            raise lost(peer, "it closed the connection at once: its roster does not hold our key")
        return connection

    async def _dial(self, peer: Peer) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(self), peer.host, peer.port, ssl=self.identity.client, server_hostname=peer.name
            )
        except OSError as error:
            raise lost(peer.name, f"cannot connect: {error.strerror or type(error).__name__}") from None
        if connection.peer != peer.name:
            connection.drop(f"it answered at the address of {peer.name}")

    # -- arriving, called by connections

    def joined(self, connection: Connection) -> None:
        assert connection._transport is not None
        raw = connection._transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections[connection.peer] = connection
        self._slow.setdefault(connection.peer, SlowLink(self._link))
        self._arrivals.setdefault(connection.peer, asyncio.Event()).set()

    def left(self, connection: Connection) -> None:
        """A connection ended: whoever waits for a reply over it is told."""
        if self._connections.get(connection.peer) is connection:
            del self._connections[connection.peer]
            self._arrivals[connection.peer].clear()
            error = lost(connection.peer, connection.reason or "the connection ended")
            if connection.broke_protocol:
                error = UnfedError(connection.reason, kind="protocol", party=connection.peer)
                self._complain(error)
            for peer, reply in list(self._waiting.values()):
                if peer == connection.peer and not reply.done():
                    reply.set_exception(error)

    def arrived(self, connection: Connection, frame: Frame) -> None:
        if self._delays is None:
            self._take(connection, frame)
            return
        due = self._slow[connection.peer].due(frame.header.sent, frame.size)
        loop = asyncio.get_running_loop()
        self._delays.at(due, lambda: loop.call_soon_threadsafe(self._take, connection, frame))

    def _take(self, connection: Connection, frame: Frame) -> None:
        header = frame.header
        self._meter.received(header.query, header.depth, frame.size)
        if self._record is not None:
            self._record(connection.peer, frame)
        if header.kind in (CALL, TELL):
            self._deliver(connection, frame)
            return
        peer, reply = self._waiting.get(header.id, ("", None))
        if reply is None or reply.done():
            return  # the caller no longer waits
        if peer != connection.peer:
            connection.drop("it answered a call made to somebody else", broke_protocol=True)
        elif header.kind == REPLY:
            fields = frame.values()
            reply.set_result(fields[""] if fields.keys() == {""} else fields)
        elif header.kind == FAULT and header.failure is not None:
            reply.set_exception(UnfedError.of(header.failure))
        else:
            connection.drop(f"a frame of kind {header.kind} where only calls and replies belong", broke_protocol=True)


def lost(peer: str, why: str) -> UnfedError:
    """The error for a peer that cannot be reached."""
    return UnfedError(why, kind="party-lost", party=peer, hint=f"look at the log of {peer}")


def _log_refusal(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A handshake that failed is a refusal, told in a line; anything else is an error of ours."""
    error = context.get("exception")
    if isinstance(error, OSError):
        log.warning("refused a connection: %s", error)
    else:
        loop.default_exception_handler(context)
