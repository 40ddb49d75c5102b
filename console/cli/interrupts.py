"""What Ctrl-C means at each stage of a command: the first one asks for an orderly end, the second insists."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType

Action = Callable[[], None]


class Interrupts:
    """Takes SIGINT, SIGTERM and SIGHUP for as long as the context lasts.

    Attributes:
        ask: called by the first signal; None raises KeyboardInterrupt.
        insist: called by every further one; None raises KeyboardInterrupt. Both are called between two bytecodes of
            the main thread, so they only schedule.
        count: signals so far.
    """

    def __init__(self) -> None:
        self.ask: Action | None = None
        self.insist: Action | None = None
        self.count = 0
        self._before: dict[
            signal.Signals, signal.Handlers | Callable[[int, FrameType | None], object] | int | None
        ] = {}

    def __enter__(self) -> Interrupts:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            before = signal.getsignal(each)
            if each == signal.SIGHUP and before == signal.SIG_IGN:
                continue  # nohup
            self._before[each] = before
            signal.signal(each, self._arrived)
        return self

    def __exit__(self, *_: object) -> None:
        for each, before in self._before.items():
            signal.signal(each, signal.SIG_DFL if before is None else before)

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        action = self.ask if self.count == 1 else self.insist
        if action is None:
            raise KeyboardInterrupt
        action()


@contextlib.contextmanager
def waking() -> Iterator[None]:
    """Have any signal wake the running loop, so that its handler runs at once.

    Python runs handlers between two bytecodes of the main thread. A signal that another thread takes, or that comes
    just before the loop goes to sleep, would else wait until something else wakes it.
    """
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        loop.add_reader(ours, lambda: ours.recv(64))
        before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            loop.remove_reader(ours)
