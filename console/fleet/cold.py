"""A launcher without a fork server: each party is a fresh `unfed-node`, as on a host where nothing is warm."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from pathlib import Path
from typing import Literal

from unfed.plugins import Launcher, PartyProcess, PartySpec

from .process import QUIET


class ColdProcess(PartyProcess):
    """An `unfed-node` that is our child; its stdin and stdout are the control link."""

    codec: Literal["msgpack", "json"] = "json"

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        assert process.stdout is not None and process.stdin is not None
        self._process = process
        self.pid, self.reader, self.writer, self.log = process.pid, process.stdout, process.stdin, log

    async def wait(self) -> int:
        return await self._process.wait()

    def kill(self) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()


class ColdLauncher(Launcher):
    """Starts `python -m unfed.console.party.node` for every party."""

    name = "cold"

    def __init__(self, logs: Path) -> None:
        self._processes: list[ColdProcess] = []

    async def start(self) -> None:
        pass

    async def launch(self, spec: PartySpec, log: Path) -> PartyProcess:
        # A signal for a parent's end is one for the end of the thread that started the child.
        bound = ["--end-with-parent"] if threading.current_thread() is threading.main_thread() else []
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "unfed.console.party.node",
                *bound,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                limit=64 << 20,
                env=os.environ | QUIET,
                start_new_session=True,
            )
        self._processes.append(ColdProcess(process, log))
        return self._processes[-1]

    async def close(self) -> None:
        for process in self._processes:
            process.kill()
        await asyncio.gather(*(process.wait() for process in self._processes))
        self._processes.clear()
