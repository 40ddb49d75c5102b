"""The console in a terminal of its own: it ends as it is told, puts the terminal back, and leaves nothing running."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

import psutil
import pytest

pytestmark = pytest.mark.slow

LEAVES_ALTERNATE_SCREEN = b"\x1b[?1049l"


class Terminal:
    """The console behind a pseudo-terminal of 80×24."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.end, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        command = [sys.executable, "-m", "unfed.console.cli"]
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that it is told of a hang-up
        )
        os.close(theirs)
        self.seen = b""

    def read_until(self, sought: bytes, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while sought not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, f"never drew {sought!r}: {self.seen[-300:]!r}"
            if select.select([self.end], [], [], min(left, 0.2))[0]:
                try:
                    self.seen += os.read(self.end, 65536)
                except OSError:  # the other side is closed
                    break
            elif self.process.poll() is not None:
                break
        assert sought in self.seen, self.seen[-300:]

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest.fixture
def terminal(tmp_path) -> Iterator[Terminal]:
    environment = os.environ | {
        "TERM": "xterm-256color",
        "UNFED_STATE_DIR": str(tmp_path / "state"),
        "UNFED_CONFIG_DIR": str(tmp_path / "config"),
    }
    terminal = Terminal(environment)
    yield terminal
    if terminal.process.poll() is None:
        terminal.process.kill()
        terminal.process.wait()
    os.close(terminal.end)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_puts_the_terminal_back_and_ends_every_process(terminal, number):
    terminal.read_until(b"side by side")  # it has surveyed, so the fork server is on its way
    children = _some(terminal)
    terminal.process.send_signal(number)
    terminal.read_until(LEAVES_ALTERNATE_SCREEN)
    assert terminal.process.wait(30) == 128 + number
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    assert b"Traceback" not in terminal.seen


def test_ctrl_q_leaves_with_zero_and_nothing_behind(terminal):
    terminal.read_until(b"side by side")
    children = _some(terminal)
    os.write(terminal.end, b"\x11")
    terminal.read_until(LEAVES_ALTERNATE_SCREEN)
    assert terminal.process.wait(30) == 0
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


@pytest.mark.parametrize("after", [b"side by side", b"Gallery"])
def test_a_terminal_that_goes_away_takes_everything_with_it(terminal, after):
    """Closing the other side hangs up: nothing can be drawn any more, which must not keep the console."""
    terminal.read_until(after)
    children = _some(terminal)
    os.close(terminal.end)
    terminal.end = os.open(os.devnull, os.O_RDONLY)
    assert terminal.process.wait(30) != 0
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


def _some(terminal: Terminal) -> list[psutil.Process]:
    """The console's child processes, once there are any."""
    deadline = time.monotonic() + 30
    while not (children := terminal.children()):
        assert time.monotonic() < deadline, "the fork server was never started"
        time.sleep(0.05)
    return children
