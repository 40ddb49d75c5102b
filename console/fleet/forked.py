"""One child of the fork server, as its launcher knows it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from unfed.plugins import PartyProcess


class ForkedProcess(PartyProcess):
    """A child of the fork server, which reports its end.

    It is known by a descriptor as well as by its id: the id alone may be somebody else's by the time it is used, and
    the descriptor tells of its end even where the fork server cannot any more.
    """

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, log: Path) -> None:
        self.pid, self.reader, self.writer, self.log = pid, reader, writer, log
        self._loop = asyncio.get_running_loop()
        self._exited: asyncio.Future[int] = self._loop.create_future()
        self._handle = -1
        with contextlib.suppress(OSError):  # it may have ended already, which is on its way to us
            self._handle = os.pidfd_open(pid)
            self._loop.add_reader(self._handle, self._seen_ended)

    async def wait(self) -> int:
        return await asyncio.shield(self._exited)

    def kill(self) -> None:
        if self._handle >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def ended(self, status: int, note: str = "") -> None:
        """Its end is known; the first to say so is right."""
        if self._exited.done():
            return
        self.note = note
        self._exited.set_result(status)
        self._release()

    def orphaned(self, note: str) -> None:
        """The fork server is gone: nobody else will tell of this process's end, nor end it."""
        self.note = note
        self.kill()
        if self._handle < 0:
            self.ended(-signal.SIGKILL, note)

    def _seen_ended(self) -> None:
        self._loop.remove_reader(self._handle)
        # The fork server knows the status, and says it at once unless it is stopped or gone itself.
        self._loop.call_later(0.0 if self.note else 1.0, self.ended, -signal.SIGKILL, self.note)

    def _release(self) -> None:
        if self._handle >= 0:
            self._loop.remove_reader(self._handle)
            os.close(self._handle)
            self._handle = -1
