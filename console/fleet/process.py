"""The launcher for this host: it keeps a warm fork server and has it fork a process for each party."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from unfed.plugins import Launcher, PartyProcess, PartySpec, UnfedError

from .forked import ForkedProcess
from .look import is_stopped

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


FORK_WITHIN = 120.0
"""Seconds for the fork server to answer: it may have to warm up first."""
LOOK_EVERY, STOPPED_FOR = 0.5, 2.0
"""Seconds between looks at a fork server that has not answered, and for which it may be seen stopped meanwhile."""


class LocalLauncher(Launcher):
    """Forks parties from a server that is warmed once per console. Its log stands in `logs`.

    Args:
        preload: modules that the server imports for its children.
    """

    name = "local"

    def __init__(self, logs: Path, preload: Sequence[str] = PRELOAD) -> None:
        self._logs = logs
        self._preload = preload
        self._server: asyncio.subprocess.Process | None = None
        self._socket: socket.socket | None = None
        self._forking: deque[asyncio.Future[int]] = deque()
        self._processes: dict[int, ForkedProcess] = {}
        self._early: dict[int, int] = {}
        self._abandoned: set[int] = set()
        self._starting = asyncio.Lock()
        self.warm: asyncio.Future[float] | None = None

    async def start(self) -> None:
        """Start the fork server, without waiting for it to be warm."""
        async with self._starting:
            if self._socket is not None:
                return
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.setblocking(False)
            try:
                self._logs.mkdir(parents=True, exist_ok=True)
                with (self._logs / "fork-server.log").open("ab") as log, theirs:
                    self._server = await asyncio.create_subprocess_exec(
                        sys.executable,
                        "-m",
                        "unfed.console.party.forkserver",
                        str(theirs.fileno()),
                        *self._preload,
                        pass_fds=[theirs.fileno()],
                        stdin=asyncio.subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        env=os.environ | QUIET,
                        start_new_session=True,  # a Ctrl-C in the terminal is for the console to handle
                    )
            except OSError as error:
                ours.close()
                raise UnfedError(f"the fork server cannot be started: {error}", kind="fleet") from error
            except BaseException:
                ours.close()
                raise
            self._socket = ours
            loop = asyncio.get_running_loop()
            self.warm = loop.create_future()
            loop.add_reader(ours, self._heard)

    async def launch(self, spec: PartySpec, log: Path) -> PartyProcess:
        await self.start()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                pid = await self._forked(str(log).encode(), theirs)
            reader, writer = await asyncio.open_unix_connection(sock=ours, limit=1 << 20)
        except BaseException:
            ours.close()  # a child that was forked all the same ends with it
            raise
        process = ForkedProcess(pid, reader, writer, log)
        if (status := self._early.pop(pid, None)) is not None:
            process.ended(status)
        elif self._socket is None:
            process.orphaned(_ORPHANED)
        else:
            self._processes[pid] = process
        return process

    async def close(self) -> None:
        """End the fork server and with it every child."""
        if self._socket is not None:
            self._hang_up()
        if self._server is None:
            return
        try:
            # A server that is still importing has no children to end, and would take its time to notice.
            async with asyncio.timeout(5 if self.warm is not None and self.warm.done() else 0):
                await self._server.wait()
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                self._server.kill()
            if not isinstance(error, TimeoutError):
                raise
            await self._server.wait()
        self._all_gone("the launcher was closed")
        self._server = None

    async def _request(self, log: bytes, control: socket.socket) -> asyncio.Future[int]:
        """Ask for a child; the future is its process id."""
        while self._socket is not None:
            try:
                socket.send_fds(self._socket, [log], [control.fileno()])
            except BlockingIOError:  # it is behind, as while it warms up
                await asyncio.sleep(0.01)
            except OSError as error:
                raise self._gone() from error
            else:
                forked: asyncio.Future[int] = asyncio.get_running_loop().create_future()
                self._forking.append(forked)
                return forked
        raise self._gone()

    async def _forked(self, log: bytes, control: socket.socket) -> int:
        """The process id of a child that is forked for us."""
        forking = asyncio.create_task(self._fork(log, control))
        until = time.monotonic() + FORK_WITHIN
        looks = 0
        try:
            while time.monotonic() < until:
                if (await asyncio.wait({forking}, timeout=LOOK_EVERY))[0]:
                    return await forking
                looks = looks + 1 if self._server is not None and is_stopped(self._server.pid) else 0
                if looks * LOOK_EVERY >= STOPPED_FOR:
                    raise self._stopped()
        finally:
            forking.cancel()
        raise UnfedError(
            f"the fork server made no process within {FORK_WITHIN:g} s",
            kind="fleet",
            hint=f"see {self._logs / 'fork-server.log'}",
        )

    async def _fork(self, log: bytes, control: socket.socket) -> int:
        return await (await self._request(log, control))

    def _heard(self) -> None:
        """A report of the fork server is there to read."""
        while self._socket is not None:
            try:
                data = self._socket.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._hang_up()
                self._all_gone(_ORPHANED)
                return
            self._take(msgspec.msgpack.decode(data))

    def _take(self, message: list[Any]) -> None:
        if message[0] == "warm":
            if self.warm is not None and not self.warm.done():
                self.warm.set_result(message[1])
        elif message[0] == "failed":
            if not (forked := self._forking.popleft()).done():
                forked.set_exception(UnfedError(f"no process can be forked: {message[1]}", kind="fleet"))
        elif message[0] == "forked":
            if (forked := self._forking.popleft()).done():
                self._abandoned.add(message[1])  # its launch was given up
            else:
                forked.set_result(message[1])
        elif message[0] == "exited":
            pid, status = message[1:]
            if (process := self._processes.pop(pid, None)) is not None:
                process.ended(status)
            elif pid in self._abandoned:
                self._abandoned.discard(pid)
            else:
                self._early[pid] = status

    def _hang_up(self) -> None:
        assert self._socket is not None
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._socket = None

    def _all_gone(self, why: str) -> None:
        """No fork server any more: its children end too, and whoever waits for one is told."""
        for process in self._processes.values():
            process.orphaned(why)
        self._processes.clear()
        self._early.clear()
        self._abandoned.clear()
        while self._forking:
            if not (forked := self._forking.popleft()).done():
                forked.set_exception(self._gone())
        if self.warm is not None and not self.warm.done():
            self.warm.set_exception(self._gone())
            self.warm.exception()  # nobody need be waiting for it

    def _stopped(self) -> UnfedError:
        assert self._server is not None
        pid = self._server.pid
        return UnfedError(
            f"the fork server (process {pid}) is stopped, and so makes no process",
            kind="fleet",
            hint=f"kill -CONT {pid} lets it go on",
        )

    def _gone(self) -> UnfedError:
        return UnfedError("the fork server ended", kind="fleet", hint=f"see {self._logs / 'fork-server.log'}")


_ORPHANED = "the fork server ended, and its children with it"
