"""Where a party's channels are opened: some it dials, for the others it waits, as the roster says."""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator, Set

from unfed.plugins import Emulation, UnfedError

from . import frames
from .channel import BlockingChannel, Record
from .control import Peer
from .emulation import SlowLinks
from .ended import Ended
from .frames import OPEN, Frame, Header
from .greeter import Greeter
from .identity import Identity
from .meter import Meter
from .peers import GONE, lost, why

PATIENCE = 10.0
"""Seconds to wait for the other side to open its end."""
_WAITING = 64
"""Channels that a peer may open before we ask for them."""


class Door:
    """The channels of one party.

    Args:
        ended: queries that no channel is opened for any more.
        slow: the emulated links, shared with the wire.
        record: puts what arrives on the tape; None when the run is not audited.
    """

    def __init__(
        self,
        identity: Identity,
        meter: Meter,
        ended: Ended,
        link: Emulation,
        slow: SlowLinks,
        private_ids: bool,
        record: Record | None,
    ) -> None:
        self._identity = identity
        self._greeter = Greeter(identity, self._admit)
        self._meter = meter
        self._ended = ended
        self._slow = slow if link.delay or link.bandwidth else None
        self._private = private_ids
        self._record = record
        self._roster: dict[str, Peer] = {}
        self._gone: set[str] = set()
        self._changed = threading.Condition()
        self._arrived: dict[tuple[str, str], deque[tuple[str, ssl.SSLSocket]]] = {}
        self._channels: weakref.WeakSet[BlockingChannel] = weakref.WeakSet()

    def listen(self, host: str) -> int:
        """Accept on a port of the system's choice; returns the port."""
        return self._greeter.listen(host)

    def pin(self, roster: dict[str, Peer], gone: Set[str] = frozenset()) -> None:
        """Make these the peers this party knows; channels with anybody else, replaced peers included, end.

        Args:
            gone: peers that it is linked to and that are not there now.
        """
        with self._changed:
            before, self._roster, self._gone = self._roster, roster, set(gone)
            self._end_with(
                {name for name in before if name not in roster or roster[name].certificate != before[name].certificate}
            )

    def gone(self, peer: str) -> None:
        """Its process has ended: channels with it end, and whoever waits for one is told."""
        with self._changed:
            self._gone.add(peer)
            self._end_with({peer})

    def _end_with(self, peers: Set[str]) -> None:
        for key in [key for key in self._arrived if key[0] in peers]:
            for _, sock in self._arrived.pop(key):
                sock.close()
        for channel in self._channels:
            if channel.peer in peers:
                channel.lose()
        self._changed.notify_all()

    def settle(self, query: str) -> None:
        """A query is over: what peers opened for it and nobody took is closed; and, since not all say for which query,
        what they have left again."""
        with self._changed:
            for waiting in self._arrived.values():
                for entry in [entry for entry in waiting if entry[0] == query or _has_left(entry[1])]:
                    waiting.remove(entry)
                    entry[1].close()
            self._arrived = {key: waiting for key, waiting in self._arrived.items() if waiting}

    def open(self, peer: str, purpose: str, query: str) -> BlockingChannel:
        """The channel with `peer` for `purpose`, dialled or awaited."""
        if peer in self._gone:
            raise lost(peer, GONE)
        known = self._roster.get(peer)
        if known is None:
            raise UnfedError(
                f"there is no link to {peer!r}",
                kind="role",
                hint=f"the plan links it to {', '.join(self._roster) or 'nobody'}",
            )
        sock = self._dial(known, purpose, query) if known.dial else self._await(known, purpose)
        slow = self._slow.of(peer) if self._slow is not None else None
        channel = BlockingChannel(sock, peer, purpose, self._meter, slow, self._private, self._record)
        channel.query = query
        with self._changed:
            self._channels.add(channel)
        return channel

    def _dial(self, known: Peer, purpose: str, query: str) -> ssl.SSLSocket:
        opening = b"".join(frames.encode(Header(OPEN, 0, purpose, "" if self._private else query)))
        try:
            raw = socket.create_connection((known.host, known.channel_port), timeout=PATIENCE)
            with raw:  # wrapping takes the descriptor over, so this closes it only where wrapping fails
                sock = self._identity.client.wrap_socket(raw)
            if self._identity.peer_of(sock) != known.name:
                sock.close()
                raise ConnectionError(f"somebody else answered at the address of {known.name}")
            sock.sendall(opening)
        except OSError as error:
            raise UnfedError(f"no channel {purpose!r}: {why(error)}", kind="party-lost", party=known.name) from None
        self._meter.sent(query, known.name, len(opening))
        return sock

    def _await(self, known: Peer, purpose: str) -> ssl.SSLSocket:
        """The oldest channel that the peer opened for `purpose` and has not left again."""
        peer, until = known.name, time.monotonic() + PATIENCE
        with self._changed:
            while (ahead := until - time.monotonic()) > 0:
                for _, sock in self._taken(peer, purpose):
                    if _is_there(sock):
                        return sock
                    sock.close()
                now = self._roster.get(peer)
                if peer in self._gone or now is None or now.certificate != known.certificate:
                    raise lost(peer, GONE)  # a fresh process of its name knows nothing of this
                self._changed.wait(ahead)
        raise UnfedError(f"the channel {purpose!r} was not opened within {PATIENCE:g} s", kind="timeout", party=peer)

    def _taken(self, peer: str, purpose: str) -> Iterator[tuple[str, ssl.SSLSocket]]:
        """Take the channels that wait, one by one; no purpose that a peer made up is kept once it is empty."""
        while waiting := self._arrived.get((peer, purpose)):
            yield waiting.popleft()
        self._arrived.pop((peer, purpose), None)

    def _admit(self, peer: str, opening: Frame, sock: ssl.SSLSocket) -> None:
        header = opening.header
        self._meter.received(header.query, 0, opening.size)
        if header.query in self._ended:
            raise ValueError("it is for a query that is over")
        with self._changed:
            if sum(len(waiting) for key, waiting in self._arrived.items() if key[0] == peer) >= _WAITING:
                raise ValueError(f"{_WAITING} of its channels are waiting already")
            self._arrived.setdefault((peer, header.name), deque()).append((header.query, sock))
            self._changed.notify_all()


def _has_left(sock: ssl.SSLSocket) -> bool:
    """Whether the other end was closed, whatever it had said before."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return bool(poll.poll(0))


def _is_there(sock: ssl.SSLSocket) -> bool:
    """Whether the other end still stands."""
    sock.setblocking(False)
    try:
        return bool(socket.socket.recv(sock, 1, socket.MSG_PEEK))
    except BlockingIOError:
        return True
    except OSError:
        return False
