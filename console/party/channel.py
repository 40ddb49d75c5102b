"""Blocking connections for protocol rounds, each owned by one thread: no event loop stands between two messages."""

from __future__ import annotations

import contextlib
import logging
import queue
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from unfed.plugins import Emulation, UnfedError

from . import frames
from .control import Peer
from .emulation import SlowLink
from .frames import OPEN, ROUND, Frame, Header
from .identity import Identity
from .meter import Meter
from .reader import FrameReader

log = logging.getLogger("unfed.wire")

PATIENCE = 10.0
"""Seconds to wait for the other side to open its end."""
_BLOCKED = (ssl.SSLWantReadError, ssl.SSLWantWriteError)

Record = Callable[[str, Frame], None]


class BlockingChannel:
    """See `unfed.plugins.Channel`. The socket never blocks: whoever waits to write also reads, so two sides that both
    send, whatever the size, cannot deadlock."""

    def __init__(
        self, sock: ssl.SSLSocket, peer: str, purpose: str, meter: Meter, link: Emulation, record: Record | None
    ) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self.peer, self.purpose = peer, purpose
        self.query = ""
        self._sock = sock
        self._meter = meter
        self._emulated = bool(link.delay or link.bandwidth)
        self._slow = SlowLink(link)
        self._record = record
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._reader = FrameReader()
        self._ready: deque[Frame] = deque()
        self._sent = self._received = 0

    def send(self, **fields: Any) -> None:
        self._pump(self._frame(fields), receive=False, timeout=None)

    def recv(self, timeout: float | None = None) -> dict[str, Any]:
        self._pump(b"", receive=True, timeout=timeout)
        return self._take()

    def exchange(self, timeout: float | None = None, **fields: Any) -> dict[str, Any]:
        self._pump(self._frame(fields), receive=True, timeout=timeout)
        return self._take()

    def close(self) -> None:
        """End the connection; a thread that waits in it is woken with an error."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def _frame(self, fields: dict[str, Any]) -> bytes:
        plain, about, data = frames.pack(fields)
        sent = time.monotonic() if self._emulated else 0.0
        self._sent += 1
        header = Header(
            ROUND, self._sent, self.purpose, self.query, self._meter.sending(self.query), sent, plain, tuple(about)
        )
        frame = b"".join(frames.encode(header, data))
        self._meter.sent(self.query, self.peer, len(frame))
        return frame

    def _take(self) -> dict[str, Any]:
        """The next frame, once it is due."""
        frame = self._ready.popleft()
        header = frame.header
        self._received += 1
        if header.kind != ROUND or header.name != self.purpose or header.id != self._received:
            raise self._fail(
                f"message {header.id} of {header.name!r} where {self._received} of {self.purpose!r} was due"
            )
        if self._emulated:
            ahead = self._slow.due(header.sent, frame.size) - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
        self._meter.received(header.query, header.depth, frame.size)
        if self._record is not None:
            self._record(self.peer, frame)
        return frame.values()

    def _pump(self, out: bytes, *, receive: bool, timeout: float | None) -> None:
        """Write all of `out` and, if asked to, read until a frame is there."""
        deadline = None if timeout is None else time.monotonic() + timeout
        left = memoryview(out)
        try:
            while left or (receive and not self._ready):
                moved = False
                if left:
                    with contextlib.suppress(*_BLOCKED):
                        left = left[self._sock.send(left) :]
                        moved = True
                if (left and not moved) or (not left and receive and not self._ready):
                    with contextlib.suppress(*_BLOCKED):
                        self._read()
                        moved = True
                if not moved:
                    self._wait(bool(left), deadline)
        except (OSError, ValueError) as error:
            raise self._fail(str(error) or "the connection ended", lost=isinstance(error, OSError)) from None

    def _wait(self, writing: bool, deadline: float | None) -> None:
        ahead = None if deadline is None else max(0.0, deadline - time.monotonic())
        self._poll.modify(self._sock, select.POLLIN | select.POLLOUT if writing else select.POLLIN)
        if not self._poll.poll(None if ahead is None else ahead * 1000) and ahead is not None:
            raise UnfedError(
                f"nothing came for {self.purpose!r} in time", kind="timeout", party=self.peer, hint="is it stopped?"
            )

    def _read(self) -> None:
        """Read what is there and cut frames from it; raises one of `_BLOCKED` when nothing is."""
        count = self._sock.recv_into(self._reader.buffer())
        if not count:
            raise ConnectionError("the connection ended")
        self._ready.extend(self._reader.filled(count))

    def _fail(self, why: str, *, lost: bool = False) -> UnfedError:
        self.close()
        kind, hint = ("party-lost", f"look at the log of {self.peer}") if lost else ("protocol", None)
        log.warning("channel %s with %s ended: %s", self.purpose, self.peer, why)
        return UnfedError(why, kind=kind, party=self.peer, hint=hint)  # type: ignore[arg-type]


class Door:
    """Where a party's channels are opened: it accepts those that peers dial and dials the others.

    Args:
        record: puts what arrives on the tape; None when the run is not audited.
    """

    def __init__(self, identity: Identity, meter: Meter, link: Emulation, record: Record | None) -> None:
        self._identity = identity
        self._meter = meter
        self._link = link
        self._record = record
        self._peers: dict[str, Peer] = {}
        self._arrived: dict[tuple[str, str], queue.SimpleQueue[ssl.SSLSocket]] = {}
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None

    def listen(self, host: str) -> int:
        """Accept on a port of the system's choice, in a thread; returns the port."""
        self._listener = socket.create_server((host, 0))
        threading.Thread(target=self._accept, name="channels", daemon=True).start()
        return int(self._listener.getsockname()[1])

    def meet(self, peers: dict[str, Peer]) -> None:
        self._peers = peers

    def open(self, peer: str, purpose: str, query: str) -> BlockingChannel:
        """The channel with `peer` for `purpose`, dialled or awaited as the roster says."""
        known = self._peers.get(peer)
        if known is None:
            raise UnfedError(f"there is no link to {peer!r}", kind="role", hint="the plan must have one")
        try:
            if known.dial:
                raw = socket.create_connection((known.host, known.channel_port), timeout=PATIENCE)
                sock = self._identity.client.wrap_socket(raw, server_hostname=known.name)
                if self._identity.peer_of(sock) != peer:
                    raise ConnectionError(f"somebody else answered at the address of {peer}")
                sock.sendall(b"".join(frames.encode(Header(OPEN, name=purpose))))
            else:
                sock = self._waiting(peer, purpose).get(timeout=PATIENCE)
        except queue.Empty:
            raise UnfedError(
                f"the channel {purpose!r} was not opened within {PATIENCE:g} s", kind="timeout", party=peer
            ) from None
        except OSError as error:
            raise UnfedError(f"no channel {purpose!r}: {error}", kind="party-lost", party=peer) from None
        channel = BlockingChannel(sock, peer, purpose, self._meter, self._link, self._record)
        channel.query = query
        return channel

    def _waiting(self, peer: str, purpose: str) -> queue.SimpleQueue[ssl.SSLSocket]:
        with self._lock:
            return self._arrived.setdefault((peer, purpose), queue.SimpleQueue())

    def _accept(self) -> None:
        assert self._listener is not None
        while True:
            raw, _ = self._listener.accept()
            # A thread each, so that a stranger who says nothing holds up nobody.
            threading.Thread(target=self._admit, args=(raw,), name="channel-handshake", daemon=True).start()

    def _admit(self, raw: socket.socket) -> None:
        """Handshake, then read the one frame that says what the channel is for."""
        raw.settimeout(PATIENCE)
        try:
            sock = self._identity.server.wrap_socket(raw, server_side=True)
            peer = self._identity.peer_of(sock)
            if peer is None:
                raise ValueError("a key that no peer of this party has")
            length = frames.length_of(_exactly(sock, frames.LENGTH))
            if length > 4096:
                raise ValueError(f"an opening of {length} bytes")
            header = frames.decode(_exactly(sock, length)).header
            if header.kind != OPEN:
                raise ValueError(f"a frame of kind {header.kind} where a channel should be opened")
            self._waiting(peer, header.name).put(sock)
        except (OSError, ValueError) as error:
            log.warning("refused a channel: %s", error)
            raw.close()


def _exactly(sock: ssl.SSLSocket, count: int) -> bytearray:
    data = bytearray(count)
    view = memoryview(data)
    while view:
        got = sock.recv_into(view)
        if not got:
            raise ConnectionError("the connection ended")
        view = view[got:]
    return data
