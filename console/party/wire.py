"""The asyncio side of a party's links: calls, replies and messages over one TLS connection per peer."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable, Set
from typing import Any

from unfed.plugins import Emulation, Failure, UnfedError

from . import frames
from .connection import Connection
from .control import Peer
from .echoes import Echoes, take
from .emulation import DelayLine, SlowLinks
from .ended import Ended
from .frames import CALL, ECHO, ECHOED, FAULT, REPLY, TELL, Frame, Header
from .identity import Identity
from .meter import Meter
from .peers import Peers, lost
from .vigil import LoopVigil

current_query: contextvars.ContextVar[str] = contextvars.ContextVar("query", default="")

Deliver = Callable[[Connection, Frame], None]
Complain = Callable[[UnfedError, Set[str]], None]
Record = Callable[[str, Frame], None]


class Wire:
    """Every link of one party, apart from its channels.

    Args:
        identity: keys and pins.
        meter: counts what is sent and received.
        echoes: of these links.
        ended: queries whose messages are late.
        link: emulated delay and bandwidth of everything that arrives.
        slow: the emulated links, shared with the channels.
        private_ids: send no query ids.
        deliver: takes a call or message that has arrived, on the event loop. Raises ValueError where it does not fit.
        complain: is told of a peer that broke the protocol or a message that cannot be recorded, and of the queries
            that this is about.
        record: puts what arrives on the tape; None when the run is not audited.
    """

    def __init__(
        self,
        identity: Identity,
        meter: Meter,
        echoes: Echoes,
        ended: Ended,
        link: Emulation,
        slow: SlowLinks,
        private_ids: bool,
        deliver: Deliver,
        complain: Complain,
        record: Record | None = None,
    ) -> None:
        self.peers = Peers(identity, self._arrived, self._left)
        self._meter = meter
        self._echoes = echoes
        self._echoing: asyncio.Task[None] | None = None
        self._ended = ended
        self._slow = slow
        self._private = private_ids
        self._deliver = deliver
        self._complain = complain
        self._record = record
        self._vigil = LoopVigil()
        self._emulated = bool(link.delay or link.bandwidth)
        self._delays = DelayLine() if self._emulated else None

    async def listen(self, host: str, port: int) -> int:
        self._echoing = asyncio.get_running_loop().create_task(self._echoes.go_on(self.peers, self._now))
        return await self.peers.listen(host, port)

    def pin(self, roster: dict[str, Peer], gone: Set[str] = frozenset()) -> None:
        self.peers.pin(roster, gone)

    def gone(self, peer: str) -> None:
        self.peers.gone(peer)

    async def meet(self) -> None:
        await self.peers.meet()

    def close(self) -> None:
        if self._echoing is not None:
            self._echoing.cancel()
        self.peers.close()

    # -- sending

    async def tell(self, peer: str, method: str, fields: dict[str, Any]) -> None:
        connection = self.peers.open(peer) or await self.peers.connection(peer)
        self._send(connection, TELL, 0, method, current_query.get(), fields)
        if connection.full:
            await _room(connection)

    async def call(self, peer: str, method: str, fields: dict[str, Any]) -> Any:
        connection = self.peers.open(peer) or await self.peers.connection(peer)
        number, reply = connection.begin_call()
        try:
            self._send(connection, CALL, number, method, current_query.get(), fields)
            if connection.full:
                await _room(connection)
            return await reply
        finally:
            connection.end_call(number)

    async def answer(self, connection: Connection, to: Header, value: Any) -> None:
        """Reply to the call whose header is `to`."""
        self._send(connection, REPLY, to.id, to.name, to.query, value if isinstance(value, dict) else {"": value})
        if connection.full:
            await _room(connection)

    def fault(self, connection: Connection, to: Header, error: UnfedError) -> None:
        """Reply that the call whose header is `to` has failed."""
        self._send(connection, FAULT, to.id, to.name, to.query, {}, error.failure)

    def _send(
        self,
        connection: Connection,
        kind: int,
        number: int,
        name: str,
        query: str,
        fields: dict[str, Any],
        failure: Failure | None = None,
    ) -> None:
        """Raises UnfedError where the connection is gone, or a field does not travel."""
        plain, about, data = frames.pack(fields)
        shown = "" if self._private else query
        header = Header(
            kind, number, name, shown, self._meter.sending(query), self._now(), plain, tuple(about), failure
        )
        pieces = frames.encode(header, data)
        size = sum(map(len, pieces))
        self._meter.sent(query, connection.peer, size)
        connection.queries.add(shown)
        try:
            connection.write(pieces, size)
        except ConnectionError as error:
            raise lost(connection.peer, str(error)) from None
        self._vigil.went()

    def _now(self) -> float:
        return time.monotonic() if self._emulated else 0.0

    def settle(self, query: str) -> None:
        """A query is over: what becomes of the links is no longer its business."""
        for connection in self.peers.all():
            connection.queries.discard(query)

    # -- arriving, called by connections

    def _arrived(self, connection: Connection, frame: Frame) -> None:
        if self._delays is None:
            self._take(connection, frame)
            return
        due = self._slow.of(connection.peer).due(frame.header.sent, frame.size)
        loop = asyncio.get_running_loop()
        self._delays.at(due, lambda: loop.call_soon_threadsafe(self._take, connection, frame))

    def _take(self, connection: Connection, frame: Frame) -> None:
        if connection.dropped:
            return
        if frame.header.kind in (ECHO, ECHOED):
            try:
                take(connection, frame, self._now())
            except ValueError as error:
                connection.drop(str(error), broke_protocol=True)
            return
        self._vigil.came()
        header = frame.header
        self._meter.received(header.query, header.depth, frame.size)
        if header.query not in self._ended:
            connection.queries.add(header.query)
        try:
            if self._record is not None:
                self._record(connection.peer, frame)
            if header.kind == CALL or header.kind == TELL:
                self._deliver(connection, frame)
            else:
                _resolve(connection, frame)
        except UnfedError as error:
            self._refuse(connection, header, error)
        except ValueError as error:
            connection.drop(str(error), broke_protocol=True)

    def _refuse(self, connection: Connection, header: Header, error: UnfedError) -> None:
        """A message cannot be recorded: its query must not go on as if nothing had come of that."""
        if header.kind == CALL:
            self.fault(connection, header, error)
        elif header.kind == TELL:
            self._complain(error, {header.query})
        elif (reply := connection.answered(header.id)) is not None and not reply.done():
            reply.set_exception(error)

    def _left(self, connection: Connection) -> None:
        """A connection ended: whoever waits for a reply over it is told."""
        error = lost(connection.peer, connection.reason)
        if connection.broke_protocol:
            error = UnfedError(connection.reason, kind="protocol", party=connection.peer)
            self._complain(error, connection.queries if self._private else connection.queries - {""})
        for reply in connection.calls.values():
            if not reply.done():
                reply.set_exception(error)
                reply.exception()  # its caller may have left meanwhile


async def _room(connection: Connection) -> None:
    """Wait while the peer is behind."""
    try:
        await connection.room()
    except ConnectionError as error:
        raise lost(connection.peer, str(error)) from None


def _resolve(connection: Connection, frame: Frame) -> None:
    """Hand a reply or fault to its caller. Raises ValueError for anything else."""
    header = frame.header
    if header.kind == REPLY:
        fields = frame.values()
        if (reply := connection.answered(header.id)) is not None and not reply.done():
            reply.set_result(fields[""] if fields.keys() == {""} else fields)
    elif header.kind == FAULT and header.failure is not None:
        if (reply := connection.answered(header.id)) is not None and not reply.done():
            reply.set_exception(UnfedError.of(header.failure))
    else:
        raise ValueError(f"a frame of kind {header.kind} where only calls and replies belong")
