"""Blocking connections for protocol rounds, each owned by one thread: no event loop stands between two messages."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from unfed.plugins import UnfedError

from . import frames
from .emulation import SlowLink
from .frames import ROUND, Frame, Header
from .meter import Meter
from .peers import GONE, lost
from .reader import FrameReader
from .vigil import Vigil

log = logging.getLogger("unfed.wire")

Record = Callable[[str, Frame], None]


class BlockingChannel:
    """See `unfed.plugins.Channel`. The socket never blocks: whoever waits to write also reads, so two sides that both
    send, whatever the size, cannot deadlock.

    Args:
        slow: the emulated link, None where none is.
        private_ids: send no query ids.
        record: puts what arrives on the tape; None when the run is not audited.
    """

    def __init__(
        self,
        sock: ssl.SSLSocket,
        peer: str,
        purpose: str,
        meter: Meter,
        slow: SlowLink | None,
        private_ids: bool,
        record: Record | None,
    ) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self.peer, self.purpose = peer, purpose
        self.query = ""
        self._sock = sock
        self._meter = meter
        self._slow = slow
        self._private = private_ids
        self._record = record
        self._readable, self._either = select.poll(), select.poll()
        self._readable.register(sock, select.POLLIN)
        self._either.register(sock, select.POLLIN | select.POLLOUT)
        self._vigil = Vigil()
        self._reader = FrameReader()
        self._ready: deque[tuple[float, Frame]] = deque()
        self._over: OSError | ValueError | None = None  # why nothing comes after what is ready
        self._sent = self._received = 0
        self._owned = threading.Lock()
        self._closed = self._lost = False
        self._error: UnfedError | None = None

    def send(self, **fields: Any) -> None:
        self._turn(fields, receive=False, timeout=None)

    def recv(self, timeout: float | None = None) -> dict[str, Any]:
        return self._turn(None, receive=True, timeout=timeout)

    def exchange(self, timeout: float | None = None, **fields: Any) -> dict[str, Any]:
        return self._turn(fields, receive=True, timeout=timeout)

    def lose(self) -> None:
        """The peer's process is gone: whoever uses the channel is told so."""
        self._lost = True
        self.close()

    def close(self) -> None:
        """End the connection; a thread that waits in it is woken with an error."""
        self._closed = True
        with contextlib.suppress(OSError):
            # Not SSLSocket's own method: after that, a thread at work in here would write in the clear.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
        if self._owned.acquire(blocking=False):  # else the thread that is in here does it
            self._sock.close()
            self._owned.release()

    def _turn(self, fields: dict[str, Any] | None, *, receive: bool, timeout: float | None) -> dict[str, Any]:
        """Send `fields` if there are any, and return what comes if it is wanted."""
        if not self._owned.acquire(blocking=False):
            raise UnfedError(f"two threads use the channel {self.purpose!r} at once", kind="role", party=self.peer)
        try:
            if self._error is not None:
                raise UnfedError.of(self._error.failure)
            deadline = None if timeout is None else time.monotonic() + timeout
            frame = memoryview(b"" if fields is None else self._frame(fields))
            try:
                self._pump(frame, receive, deadline)
                if not receive:
                    return {}
                found = self._next(deadline)
            except (OSError, ValueError) as error:
                raise self._fail(error) from None
            self._vigil.came()
            self._meter.received(found.header.query, found.header.depth, found.size)
            if self._record is not None:
                self._record(self.peer, found)
            return found.values()
        finally:
            if self._closed:
                self._sock.close()
            self._owned.release()

    def _frame(self, fields: dict[str, Any]) -> bytes:
        plain, about, data = frames.pack(fields)
        header = Header(
            ROUND,
            self._sent + 1,
            self.purpose,
            "" if self._private else self.query,
            self._meter.sending(self.query),
            time.monotonic() if self._slow is not None else 0.0,
            plain,
            tuple(about),
        )
        frame = b"".join(frames.encode(header, data))
        self._sent += 1
        self._meter.sent(self.query, self.peer, len(frame))
        return frame

    def _pump(self, left: memoryview, receive: bool, deadline: float | None) -> None:
        """Write all of `left` and, if asked to, read until a frame is there."""
        while left or (receive and not self._ready):
            if self._over is not None:
                raise self._over
            if left:
                try:
                    left = left[self._sock.send(left) :]
                    self._vigil.went()
                    continue
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    pass
            if not self._read() and not self._wait(bool(left), deadline):
                if left:  # a message that broke off: nothing can follow it
                    raise ConnectionError("it did not take a message in time")
                raise self._late()

    def _read(self) -> bool:
        """Read what is there and cut frames from it; whether that was anything."""
        try:
            count = self._sock.recv_into(self._reader.buffer())
            if not count:
                raise ConnectionError("the connection ended")
            for frame in self._reader.filled(count):
                due = 0.0 if self._slow is None else self._slow.due(frame.header.sent, frame.size)
                self._ready.append((due, frame))
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except (OSError, ValueError) as error:
            self._over = error
        return True

    def _wait(self, writing: bool, deadline: float | None) -> bool:
        """Whether anything can be done before the deadline."""
        poll = self._either if writing else self._readable
        while time.monotonic() < self._vigil.until:
            if poll.poll(0):
                return True
        if self._vigil.until:
            self._vigil.vain()
        return bool(poll.poll(None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000))

    def _next(self, deadline: float | None) -> Frame:
        """The next frame, once it is due. Raises ValueError where it is not the one that should come."""
        due, frame = self._ready[0]
        while (ahead := due - time.monotonic()) > 0:
            if deadline is not None and due > deadline:
                time.sleep(max(0.0, deadline - time.monotonic()))
                raise self._late()
            if self._over is not None or ahead < 0.002:
                time.sleep(ahead)
            elif self._readable.poll(int(ahead * 1000)):
                self._read()  # or a full socket would hold up the sender
        self._ready.popleft()
        self._received += 1
        header = frame.header
        if header.kind != ROUND or header.name != self.purpose or header.id != self._received:
            raise ValueError(
                f"message {header.id} of {header.name[:32]!r} where {self._received} of {self.purpose!r} was due"
            )
        return frame

    def _late(self) -> UnfedError:
        return UnfedError(
            f"nothing came for {self.purpose!r} in time", kind="timeout", party=self.peer, hint="is it stopped?"
        )

    def _fail(self, error: OSError | ValueError) -> UnfedError:
        """The channel is of no more use; says why."""
        if self._lost:
            self._error = lost(self.peer, GONE)
        elif self._closed:
            self._error = UnfedError(f"the channel {self.purpose!r} was closed", kind="cancelled", party=self.peer)
        elif isinstance(error, ValueError):
            self._error = UnfedError(str(error), kind="protocol", party=self.peer)
        else:
            self._error = lost(self.peer, error.strerror or str(error) or type(error).__name__)
        if not self._closed:
            log.warning("channel %s with %s ended: %s", self.purpose, self.peer, self._error.failure.message)
        self._closed = True
        return self._error
