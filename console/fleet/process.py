"""Processes of parties on this host: forked from a warm server, or started cold."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections import deque
from pathlib import Path
from typing import Any

import msgspec

from unfed.plugins import Launcher, PartyProcess, PartySpec, UnfedError

PRELOAD = (
    "torch",
    "safetensors.torch",
    "transformers",
    "transformers.cache_utils",
    "transformers.generation",
    "transformers.models.auto",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama",
    "transformers.models.qwen2.modeling_qwen2",
    "transformers.models.gpt2.modeling_gpt2",
)
"""What most parties import; importing it once and forking makes them ready in a fraction of a second."""

QUIET = {
    "OMP_NUM_THREADS": "1",  # a party asks for its own threads; a pool made before the fork would not survive it
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "HF_HUB_OFFLINE": "1",  # parties read folders; ids are fetched by a helper before
    "PYTHONUNBUFFERED": "1",
}


class ForkedProcess(PartyProcess):
    """A child of the fork server, which reports its end."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, log: Path) -> None:
        self.pid, self.reader, self.writer, self.log = pid, reader, writer, log
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait(self) -> int:
        return await asyncio.shield(self.exited)

    def kill(self) -> None:
        if not self.exited.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


class LocalLauncher(Launcher):
    """Forks parties from a server that is warmed once per console. Its log stands in `logs`."""

    name = "local"

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._server: asyncio.subprocess.Process | None = None
        self._socket: socket.socket | None = None
        self._forking: deque[asyncio.Future[int]] = deque()
        self._processes: dict[int, ForkedProcess] = {}
        self._early: dict[int, int] = {}
        self._starting = asyncio.Lock()
        self.warm: asyncio.Future[float] | None = None

    async def start(self) -> None:
        """Start the fork server, without waiting for it to be warm."""
        async with self._starting:
            if self._server is not None and self._server.returncode is None:
                return
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.setblocking(False)
            self._logs.mkdir(parents=True, exist_ok=True)
            with (self._logs / "fork-server.log").open("ab") as log, theirs:
                self._server = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "unfed.console.party.forkserver",
                    str(theirs.fileno()),
                    *PRELOAD,
                    pass_fds=[theirs.fileno()],
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=os.environ | QUIET,
                    start_new_session=True,  # a Ctrl-C in the terminal is for the console to handle
                )
            self._socket = ours
            loop = asyncio.get_running_loop()
            self.warm = loop.create_future()
            loop.add_reader(ours, self._heard)

    async def launch(self, spec: PartySpec, log: Path) -> PartyProcess:
        await self.start()
        assert self._socket is not None
        ours, theirs = socket.socketpair()
        forked: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        with theirs:
            try:
                socket.send_fds(self._socket, [str(log).encode()], [theirs.fileno()])
            except OSError as error:
                ours.close()
                raise self._gone() from error
        self._forking.append(forked)
        try:
            pid = await forked
        except BaseException:
            ours.close()  # a child that was forked all the same ends with it
            raise
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=1 << 20)
        process = self._processes[pid] = ForkedProcess(pid, reader, writer, log)
        if (status := self._early.pop(pid, None)) is not None:
            process.exited.set_result(status)
        return process

    async def close(self) -> None:
        """End the fork server and with it every child."""
        if self._server is None:
            return
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        try:
            async with asyncio.timeout(5):
                await self._server.wait()
        except TimeoutError:
            self._server.kill()
            await self._server.wait()
        self._all_gone()
        self._server = None

    def _heard(self) -> None:
        """A report of the fork server is there to read."""
        assert self._socket is not None
        while True:
            try:
                data = self._socket.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                asyncio.get_running_loop().remove_reader(self._socket)
                self._all_gone()
                return
            message: list[Any] = msgspec.msgpack.decode(data)
            if message[0] == "warm" and self.warm is not None and not self.warm.done():
                self.warm.set_result(message[1])
            elif message[0] == "forked":
                if not (forked := self._forking.popleft()).done():  # else its launch was cancelled
                    forked.set_result(message[1])
            elif message[0] == "exited":
                pid, status = message[1:]
                if (process := self._processes.pop(pid, None)) is None:
                    self._early[pid] = status
                elif not process.exited.done():
                    process.exited.set_result(status)

    def _all_gone(self) -> None:
        for process in self._processes.values():
            if not process.exited.done():
                process.exited.set_result(-signal.SIGKILL)
        self._processes.clear()
        while self._forking:
            if not (forked := self._forking.popleft()).done():
                forked.set_exception(self._gone())
        if self.warm is not None and not self.warm.done():
            self.warm.set_exception(self._gone())
            self.warm.exception()  # nobody need be waiting for it

    def _gone(self) -> UnfedError:
        return UnfedError("the fork server ended", kind="fleet", hint=f"see {self._logs / 'fork-server.log'}")
