"""Who this party is connected with: it accepts and dials the peers of its roster, one connection each."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Coroutine, Set
from typing import Any

from unfed.plugins import UnfedError

from .connection import Connection
from .control import Peer
from .frames import Frame
from .identity import Identity
from .transport import shake_hands

log = logging.getLogger("unfed.wire")

PATIENCE = 30.0
HANDSHAKE = 10.0
"""Seconds to wait for a link that should be there, and for a stranger to say who he is."""
_STRANGERS = 128
"""Handshakes under way at once; beyond that the oldest is given up, so that nobody can hold the door shut."""


class Peers:
    """The connections of one party.

    Args:
        arrived: takes each frame.
        left: is told of each connection that ended, once it was with a known peer.
    """

    def __init__(
        self, identity: Identity, arrived: Callable[[Connection, Frame], None], left: Callable[[Connection], None]
    ) -> None:
        self.identity = identity
        self.arrived = arrived
        self._left = left
        self._roster: dict[str, Peer] = {}
        self._gone: set[str] = set()
        self._connections: dict[str, Connection] = {}
        self._here: dict[str, asyncio.Event] = {}
        self._dialling: dict[str, asyncio.Lock] = {}
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._strangers: dict[asyncio.Task[None], None] = {}

    async def listen(self, host: str, port: int) -> int:
        """Accept pinned peers on `host`; returns the port."""
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setblocking(False)
        self._keep(self._accept(listener), self._tasks)
        return int(listener.getsockname()[1])

    def pin(self, roster: dict[str, Peer], gone: Set[str] = frozenset()) -> None:
        """Make these the peers this party knows, and drop every connection with anybody else.

        Args:
            gone: peers that it is linked to and that are not there now.
        """
        self._roster, self._gone = roster, set(gone)
        self.identity.pin({name: peer.certificate for name, peer in roster.items()})
        for name, connection in list(self._connections.items()):
            if name not in roster or not _has(roster[name], connection):
                connection.drop("its key was replaced")

    def gone(self, peer: str) -> None:
        """Its process has ended: whoever waits for it is told, until a roster names it again."""
        self._gone.add(peer)
        if (connection := self._connections.get(peer)) is not None:
            connection.drop(GONE)  # its own children may hold the other end open
        self._here.setdefault(peer, asyncio.Event()).set()

    async def meet(self) -> None:
        """Dial the peers that are ours to dial and wait for the others, except for those that are gone meanwhile.

        Raises:
            UnfedError: a peer that could not be reached in time.
        """
        await asyncio.gather(*(self._meet(name) for name in self._roster))

    async def _meet(self, peer: str) -> None:
        try:
            await self.connection(peer)
        except UnfedError:
            if peer not in self._gone:
                raise

    def open(self, peer: str) -> Connection | None:
        """The connection with `peer`, if it is up."""
        connection = self._connections.get(peer)
        return connection if connection is not None and connection.open else None

    def all(self) -> list[Connection]:
        return list(self._connections.values())

    async def connection(self, peer: str) -> Connection:
        """The connection with `peer`: as it is, dialled anew, or awaited, as the roster says."""
        if peer not in self._roster and peer not in self._gone:
            raise UnfedError(
                f"there is no link to {peer!r}",
                kind="role",
                hint=f"the plan links it to {', '.join(self._roster) or 'nobody'}",
            )
        try:
            async with asyncio.timeout(PATIENCE), self._dialling.setdefault(peer, asyncio.Lock()):
                while (found := self.open(peer)) is None:
                    if peer in self._gone:
                        raise lost(peer, GONE)
                    if (known := self._roster[peer]).dial:
                        await self._dial(known)
                    else:
                        here = self._here.setdefault(peer, asyncio.Event())
                        here.clear()
                        await here.wait()
                return found
        except TimeoutError:
            raise lost(peer, f"no connection within {PATIENCE:g} s") from None

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for connection in self._connections.values():
            connection.close()

    async def _dial(self, peer: Peer) -> None:
        """Connect, or raise `UnfedError` saying why not."""
        loop = asyncio.get_running_loop()
        connection = Connection(self, peer.name)
        try:
            family, kind, *_, address = (await loop.getaddrinfo(peer.host, peer.port, type=socket.SOCK_STREAM))[0]
            raw = socket.socket(family, kind)
            raw.setblocking(False)
            try:
                await loop.sock_connect(raw, address)
            except BaseException:
                raw.close()
                raise
            connection.begin(await shake_hands(self.identity.client, raw, accepted=False, patience=HANDSHAKE))
        except OSError as error:
            raise lost(peer.name, f"cannot connect: {why(error)}") from None
        if not connection.open:
            raise lost(peer.name, connection.reason or "it closed the connection at once")

    async def _redial(self, peer: str) -> None:
        with contextlib.suppress(UnfedError):  # whoever needs the link next will say so
            await self.connection(peer)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                raw, address = await loop.sock_accept(listener)
            except OSError as error:
                log.warning("cannot accept connections: %s", error)
                await asyncio.sleep(0.1)
                continue
            self._keep(self._admit(raw, f"{address[0]}:{address[1]}"), self._strangers)
            if len(self._strangers) > _STRANGERS:
                next(iter(self._strangers)).cancel()

    async def _admit(self, raw: socket.socket, address: str) -> None:
        try:
            sock = await shake_hands(self.identity.server, raw, accepted=True, patience=HANDSHAKE)
            Connection(self).begin(sock)
        except OSError as error:
            log.warning("refused %s: %s", address, why(error))
        except asyncio.CancelledError:
            log.warning("refused %s: too many strangers at the door", address)

    def _keep(self, work: Coroutine[Any, Any, None], tasks: dict[asyncio.Task[None], None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        tasks[task] = None
        task.add_done_callback(lambda done: tasks.pop(done, None))

    # -- told by connections

    def joined(self, connection: Connection) -> None:
        if (before := self.open(connection.peer)) is not None:
            before.drop("a newer connection took its place")
        self._connections[connection.peer] = connection
        self._here.setdefault(connection.peer, asyncio.Event()).set()

    def left(self, connection: Connection) -> None:
        peer = connection.peer
        if self._connections.get(peer) is connection:
            del self._connections[peer]
            self._here[peer].clear()
            known = self._roster.get(peer)
            if known is not None and known.dial and connection.age > 1 and _has(known, connection):
                # The other side cannot dial us and may want to speak first. Not again at once, for it may be gone.
                self._keep(self._redial(peer), self._tasks)
        self._left(connection)


def _has(peer: Peer, connection: Connection) -> bool:
    return ssl.PEM_cert_to_DER_cert(peer.certificate) == connection.certificate


GONE = "its process is gone"


def lost(peer: str, why: str) -> UnfedError:
    """The error for a peer that cannot be reached."""
    return UnfedError(why, kind="party-lost", party=peer, hint=f"look at the log of {peer}")


def why(error: OSError) -> str:
    """A failed handshake or connection in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "a key that no peer of this party has"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return error.strerror or str(error) or type(error).__name__
