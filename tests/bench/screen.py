"""A terminal of 80×24 for a program to draw on, watched for the moment of its first frame."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence

import psutil

COLUMNS, ROWS = 80, 24
PATIENCE = 30.0
ENDING = 10.0
"""Seconds given: to draw, to end."""

_PIECES = re.compile(
    rb"\x1b\[(?P<parameters>[0-?]*)[ -/]*(?P<final>[@-~])"  # a control sequence
    rb"|\x1b[\]PX^_].*?(?:\x07|\x1b\\)"  # a string, such as a title
    rb"|\x1b[ -/]*[0-Z\\^-~]"  # any other escape
    rb"|(?P<newline>\n)|(?P<text>[^\x1b\n]+)",
    re.DOTALL,
)


class Screen:
    """Which rows hold something other than blanks. Knows as much of a terminal as it takes to tell."""

    def __init__(self) -> None:
        self.rows: set[int] = set()
        self._row = 1
        self._left = b""

    def feed(self, data: bytes) -> None:
        data = self._left + data
        end = 0
        for piece in _PIECES.finditer(data):
            if piece.start() != end:
                break  # a sequence that is not whole yet
            if piece["text"] is not None:
                if piece["text"].strip():
                    self.rows.add(self._row)
            elif piece["newline"] is not None:
                self._row += 1
            elif piece["final"] == b"H":
                self._row = int(piece["parameters"].split(b";")[0] or 1)
            elif piece["final"] == b"J" and piece["parameters"] in (b"2", b"3"):
                self.rows.clear()
            end = piece.end()
        self._left = data[end:]

    def framed(self) -> bool:
        """Whether a page is drawn: something in its first row, its last, and at least a quarter of all."""
        return {1, ROWS} <= self.rows and len(self.rows) >= ROWS // 4


async def first_paint(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """Seconds from starting `command` to its first frame. It and all it started have ended on return.

    Raises:
        RuntimeError: it ended, or `PATIENCE` passed, before it drew one.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    os.set_blocking(ours, False)
    loop = asyncio.get_running_loop()
    drawn: asyncio.Future[float] = loop.create_future()
    screen = Screen()

    def read() -> None:
        with contextlib.suppress(BlockingIOError):
            try:
                data = os.read(ours, 1 << 16)
            except OSError:  # how a terminal says that nobody is left on its other side
                data = b""
            screen.feed(data)
            if not data or screen.framed():
                loop.remove_reader(ours)
                if not drawn.done():
                    drawn.set_result(time.perf_counter() - began if data else -1.0)

    loop.add_reader(ours, read)
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=dict(environment), start_new_session=True
    )
    os.close(theirs)
    try:
        async with asyncio.timeout(PATIENCE):
            seconds = await drawn
    except TimeoutError:
        raise RuntimeError(f"{command[0]} drew no page within {PATIENCE:g} s") from None
    finally:
        loop.remove_reader(ours)
        _end(process)
        os.close(ours)
    if seconds < 0:
        raise RuntimeError(f"{command[0]} ended without drawing a page")
    return seconds


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill it and all that it started; the next measurement begins when they are gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGSTOP)  # or it might start one more while we look
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        for each in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait()
        psutil.wait_procs(family, timeout=ENDING)
    process.wait()
