"""TLS on the event loop with nothing in between: OpenSSL reads and writes the socket itself when it is ready.

The loop's own TLS carries every byte through two more buffers and a protocol of its own, and sends only once the loop
comes round again. After a model's weights have swept the caches, code is what a message waits for.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any

_RECORD = 16 << 10
"""Bytes of a full TLS record: where one arrives, the next is likely to be there too."""
_IN_A_ROW = 16
"""Full records read before others on the loop have their turn."""
_BACKLOG = 64 << 10
"""Bytes that may wait for the peer before writers are asked to."""


class Transport:
    """A connection whose handshake is done, as its protocol sees it; it belongs to the running loop.

    Args:
        protocol: told of what happens as asyncio would tell it.
    """

    def __init__(self, sock: ssl.SSLSocket, protocol: asyncio.BufferedProtocol) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = sock
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[memoryview] = deque()
        self._backlog = 0
        self._paused = self._closing = self._over = False
        self._loop.add_reader(sock, self._read)

    def is_closing(self) -> bool:
        return self._closing or self._over

    def write(self, data: bytes | memoryview) -> None:
        """Send `data`, or keep a copy of what the peer does not take yet."""
        if self.is_closing():
            return
        left = memoryview(data)
        if not self._waiting:
            left = self._send(left)
        if left and not self._over:
            if not self._waiting:
                self._loop.add_writer(self.socket, self._write)
            self._waiting.append(memoryview(bytes(left)))
            self._backlog += len(left)
            if self._backlog > _BACKLOG and not self._paused:
                self._paused = True
                self._protocol.pause_writing()

    def close(self) -> None:
        """End the connection once everything is sent."""
        if self.is_closing():
            return
        self._closing = True
        self._loop.remove_reader(self.socket)
        if not self._waiting:
            self._end(None)

    def abort(self) -> None:
        """End the connection at once."""
        self._end(None)

    def _send(self, left: memoryview) -> memoryview:
        """Send as much as the peer takes; returns the rest."""
        try:
            while left:
                left = left[self.socket.send(left) :]
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            self._end(error)
        return left

    def _write(self) -> None:
        while self._waiting and not self._over:
            before = self._waiting.popleft()
            left = self._send(before)
            self._backlog -= len(before) - len(left)
            if left:
                self._waiting.appendleft(left)
                return
        if self._over:
            return
        self._loop.remove_writer(self.socket)
        if self._closing:
            self._end(None)
        elif self._paused:
            self._paused = False
            self._protocol.resume_writing()

    def _read(self) -> None:
        for _ in range(_IN_A_ROW):
            try:
                count = self.socket.recv_into(self._protocol.get_buffer(-1))
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError as error:
                self._end(error)
                return
            if not count:
                self._end(None)
                return
            self._protocol.buffer_updated(count)
            # The loop tells of what lies in the socket, but not of what OpenSSL has taken out of it.
            if self.is_closing() or not (self.socket.pending() or count == _RECORD):
                return
        if self.socket.pending():
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if not self.is_closing():
            self._read()

    def _end(self, error: OSError | None) -> None:
        if self._over:
            return
        self._over = True
        self._waiting.clear()
        self._loop.remove_reader(self.socket)
        self._loop.remove_writer(self.socket)
        self.socket.close()
        self._loop.call_soon(self._protocol.connection_lost, error)


async def shake_hands(context: ssl.SSLContext, raw: socket.socket, *, accepted: bool, patience: float) -> ssl.SSLSocket:
    """`raw`, which does not block, as a TLS socket once both sides know each other; closed where that fails.

    Raises:
        OSError: the handshake failed or took longer than `patience` seconds.
    """
    try:
        with raw:  # wrapping takes the descriptor over, so this closes it only where wrapping fails
            sock = context.wrap_socket(raw, server_side=accepted, do_handshake_on_connect=False)
    except ValueError as error:  # of an address that the other side has left
        raise OSError(str(error)) from None
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(patience):
            while True:
                try:
                    sock.do_handshake()
                    return sock
                except ssl.SSLWantReadError:
                    await _ready(loop.add_reader, loop.remove_reader, sock)
                except ssl.SSLWantWriteError:
                    await _ready(loop.add_writer, loop.remove_writer, sock)
    except TimeoutError:
        sock.close()
        raise OSError(f"the handshake took more than {patience:g} s") from None
    except BaseException:
        sock.close()
        raise


async def _ready(add: Callable[..., None], remove: Callable[[Any], Any], sock: ssl.SSLSocket) -> None:
    ready = asyncio.Event()
    add(sock, ready.set)
    try:
        await ready.wait()
    finally:
        remove(sock)
