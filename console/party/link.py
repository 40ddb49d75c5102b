"""A party's end of its control link, on threads of its own: no role can hold up a heartbeat for long."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import IO, NoReturn, Protocol

import msgspec

from . import control
from .control import BEAT, Beat, Begin, Broken, Hello, Order, Report

_TO_BEGIN = 1.0
"""Seconds that a party whose launcher left at once still has to say whether it could begin."""


class ControlStream(Protocol):
    """Whole messages over some stream."""

    def read(self) -> Order | None:
        """The next order; None at the end of the stream. Raises msgspec.MsgspecError for what is no order."""
        ...

    def pack(self, report: Report) -> bytes:
        """The report as it is written."""
        ...

    def write(self, data: bytes) -> None: ...


class SocketStream:
    """Length-prefixed msgpack over the socket pair of a launcher on this host."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._file = sock.makefile("rb", buffering=1 << 16)

    def read(self) -> Order | None:
        head = self._file.read(4)
        if len(head) < 4:
            return None
        data = self._file.read(int.from_bytes(head, "little"))
        order: Order = control.decode_order(data)
        return order

    def pack(self, report: Report) -> bytes:
        return control.packed(report)

    def write(self, data: bytes) -> None:
        self._sock.sendall(data)


class LineStream:
    """Lines of JSON over stdin and stdout, as `unfed-node` speaks."""

    def __init__(self, reader: IO[bytes], writer: IO[bytes]) -> None:
        self._reader, self._writer = reader, writer

    def read(self) -> Order | None:
        while line := self._reader.readline(control.MAX_MESSAGE):
            if line.strip():
                order: Order = control.decode_order_line(line)
                return order
        return None

    def pack(self, report: Report) -> bytes:
        return control.encode_line(report) + b"\n"

    def write(self, data: bytes) -> None:
        self._writer.write(data)
        self._writer.flush()


class ControlLink:
    """Reads orders and writes reports in two threads; the process ends when its launcher does.

    Args:
        take: called with each order, in the reading thread.

    Attributes:
        status: what the process ends with: 0 for a party that said hello and was not broken.
    """

    def __init__(self, stream: ControlStream, take: Callable[[Order], None]) -> None:
        self._stream = stream
        self._take = take
        self._reports: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._beat: Callable[[], Beat] | None = None
        self._begun = threading.Event()
        self.status = 1
        self._writer = threading.Thread(target=self._write, name="control-out", daemon=True)

    def start(self, beat: Callable[[], Beat]) -> None:
        self._beat = beat
        self._writer.start()
        threading.Thread(target=self._read, name="control-in", daemon=True).start()

    def send(self, report: Report) -> None:
        """Queue a report; never blocks. Any thread may call it."""
        self._reports.put(self._stream.pack(report))
        if isinstance(report, Hello):
            self.status = 0
        elif isinstance(report, Broken):
            self.status = 1
            failure = report.failure
            say(f"{failure.message}{f'; {failure.hint}' if failure.hint else ''}")
        else:
            return
        self._begun.set()

    def finish(self) -> None:
        """Write what is queued and stop."""
        self._reports.put(None)
        self._writer.join(timeout=2)

    def _read(self) -> None:
        told = False
        try:
            while (order := self._stream.read()) is not None:
                if not told and not isinstance(order, Begin):
                    self.refuse(f"the first order must be 'begin', not {type(order).__name__.lower()!r}")
                told = True
                self._take(order)
            if not told:
                self.refuse("stdin ended before there was an order")
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            self.refuse(f"this is no order of a launcher: {error}")
        except OSError:
            pass
        if not self._begun.wait(_TO_BEGIN):
            say("stdin ended before the party had begun")
        os._exit(self.status)  # the launcher is gone, and so is the reason to be here: no thread may delay that

    def refuse(self, why: str) -> NoReturn:
        """Whoever is at the other end is no launcher: say so and end."""
        say(f"{why}; see docs/operate.md")
        os._exit(2)

    def _write(self) -> None:
        assert self._beat is not None
        next_beat = time.monotonic()
        try:
            while True:
                if (ahead := next_beat - time.monotonic()) <= 0:
                    self._stream.write(self._stream.pack(self._beat()))
                    next_beat = time.monotonic() + BEAT
                    continue
                with contextlib.suppress(queue.Empty):
                    if (report := self._reports.get(timeout=ahead)) is None:
                        return
                    self._stream.write(report)
        except OSError:
            os._exit(0)


def say(line: str) -> None:
    """A line for whoever started this process by hand; for a launched party it stands in its log."""
    with contextlib.suppress(OSError, ValueError):
        print(f"unfed-node: {line}", file=sys.stderr, flush=True)
