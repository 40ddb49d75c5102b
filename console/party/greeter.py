"""Accepts the connections of channels in one thread: no stranger who says nothing, or little, holds up another."""

from __future__ import annotations

import logging
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable

from . import frames
from .frames import OPEN, Frame
from .identity import Identity
from .peers import why

log = logging.getLogger("unfed.wire")

PATIENCE = 10.0
"""Seconds for a stranger to say who he is and what he wants."""
_STRANGERS = 64
"""Handshakes under way at once; beyond that the oldest is given up, so that nobody can hold the door shut."""
_OPENING = 1024
"""Bytes of the frame that opens a channel, at most."""


class Stranger:
    """Somebody at the door: a handshake under way, then the one frame that says what the channel is for."""

    def __init__(self, sock: ssl.SSLSocket, address: str) -> None:
        self.sock, self.address = sock, address
        self.until = time.monotonic() + PATIENCE
        self.peer: str | None = None
        self._said = bytearray()

    def go_on(self, identity: Identity) -> tuple[str, Frame]:
        """Who it is and the frame it opens with.

        Raises:
            ssl.SSLWantReadError, ssl.SSLWantWriteError: that needs more of the other side first.
            OSError, ValueError: it is to be refused.
        """
        if self.peer is None:
            self.sock.do_handshake()
            self.peer = identity.peer_of(self.sock)
            if self.peer is None:
                raise ValueError("a key that no peer of this party has (any more)")
        while (missing := self._missing()) > 0:
            if not (data := self.sock.recv(missing)):
                raise ValueError("it left in the middle of a word")
            self._said += data
        opening = frames.decode(self._said[frames.LENGTH :])
        if opening.header.kind != OPEN:
            raise ValueError(f"a frame of kind {opening.header.kind} where a channel should be opened")
        return self.peer, opening

    def _missing(self) -> int:
        """Bytes that the opening lacks, as far as is known."""
        if len(self._said) < frames.LENGTH:
            return frames.LENGTH - len(self._said)
        length = frames.length_of(self._said[: frames.LENGTH])
        if length > _OPENING:
            raise ValueError(f"an opening of {length} bytes")
        return frames.LENGTH + length - len(self._said)


class Greeter:
    """Listens for channels.

    Args:
        admit: takes each one that a peer has opened: who, the opening, the connection. Raises ValueError to refuse it.
    """

    def __init__(self, identity: Identity, admit: Callable[[str, Frame, ssl.SSLSocket], None]) -> None:
        self._identity = identity
        self._admit = admit
        self._selector = selectors.DefaultSelector()
        self._strangers: dict[ssl.SSLSocket, Stranger] = {}

    def listen(self, host: str) -> int:
        """Accept on a port of the system's choice; returns the port."""
        listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ)
        threading.Thread(target=self._serve, args=(listener,), name="greeter", daemon=True).start()
        return int(listener.getsockname()[1])

    def _serve(self, listener: socket.socket) -> None:
        while True:
            for key, _ in self._selector.select(1.0 if self._strangers else None):
                if key.fileobj is listener:
                    self._greet(listener)
                else:
                    self._go_on(key.data)
            crowd = len(self._strangers) - _STRANGERS
            for place, stranger in enumerate(list(self._strangers.values())):
                if place < crowd:
                    self._refuse(stranger, "too many strangers at the door")
                elif stranger.until < time.monotonic():
                    self._refuse(stranger, f"it did not say who it is within {PATIENCE:g} s")

    def _greet(self, listener: socket.socket) -> None:
        try:
            raw, address = listener.accept()
            raw.setblocking(False)
            with raw:  # wrapping takes the descriptor over, so this closes it only where wrapping fails
                sock = self._identity.server.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
        except (OSError, ValueError) as error:
            log.warning("cannot accept a channel: %s", error)
            time.sleep(0.01)  # it may be that descriptors have run out
            return
        stranger = self._strangers[sock] = Stranger(sock, f"{address[0]}:{address[1]}")
        self._selector.register(sock, selectors.EVENT_READ, stranger)

    def _go_on(self, stranger: Stranger) -> None:
        try:
            peer, opening = stranger.go_on(self._identity)
        except ssl.SSLWantReadError:
            self._selector.modify(stranger.sock, selectors.EVENT_READ, stranger)
        except ssl.SSLWantWriteError:
            self._selector.modify(stranger.sock, selectors.EVENT_WRITE, stranger)
        except (OSError, ValueError) as error:
            self._refuse(stranger, why(error) if isinstance(error, OSError) else str(error))
        else:
            self._forget(stranger)
            try:
                self._admit(peer, opening, stranger.sock)
            except ValueError as error:
                self._turn_away(stranger, str(error))

    def _refuse(self, stranger: Stranger, reason: str) -> None:
        self._forget(stranger)
        self._turn_away(stranger, reason)

    def _turn_away(self, stranger: Stranger, reason: str) -> None:
        log.warning("refused a channel of %s: %s", stranger.peer or stranger.address, reason)
        stranger.sock.close()

    def _forget(self, stranger: Stranger) -> None:
        self._selector.unregister(stranger.sock)
        del self._strangers[stranger.sock]
