"""One process of a fleet as its supervisor sees it: control link, health and figures."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil

from unfed.plugins import Failure, PartyProcess, PartySpec, UnfedError

from ..party import control
from ..party.control import Beat, Begin, Broken, Hello, Order, Peer, Pinned, Ready, Report, Settled, Stop
from .state import PartyState

T = TypeVar("T")

LATE = 4 * control.BEAT
"""Seconds without a heartbeat after which we look at the process."""


class Member:
    """A launched party.

    Args:
        heard: called with every report that is not the member's own business.
        ended: called once when the process has ended, with its exit status.
    """

    def __init__(
        self,
        spec: PartySpec,
        process: PartyProcess,
        state: PartyState,
        heard: Callable[[Member, Report], None],
        ended: Callable[[Member, int], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self.spec, self.process, self.state = spec, process, state
        self.hello: asyncio.Future[Hello] = loop.create_future()
        self.pinned: asyncio.Future[None] = loop.create_future()
        self.ready: asyncio.Future[Ready] = loop.create_future()
        self.settled: dict[str, asyncio.Future[Settled]] = {}
        self.leaving = False
        self._heard, self._ended = heard, ended
        self._last_beat = time.monotonic()
        state.pid = process.pid
        self._tasks = [loop.create_task(self._read()), loop.create_task(self._wait())]

    # -- telling

    def tell(self, order: Order) -> None:
        """Send an order; nothing happens if the process is gone, which is noticed elsewhere."""
        if self.process.writer.is_closing():
            return
        if self.process.codec == "json":
            self.process.writer.write(control.encode_line(order) + b"\n")
        else:
            self.process.writer.write(control.packed(order))

    def begin(self) -> None:
        self.tell(Begin(self.spec))

    async def settle(self, query: str, patience: float) -> Settled | None:
        """The party's report on a query that is over; None if it does not answer in time."""
        if self.state.health != "ready":
            return None
        future = self.settled.setdefault(query, asyncio.get_running_loop().create_future())
        self.tell(control.Settle(query))
        try:
            async with asyncio.timeout(patience):
                return await future
        except (TimeoutError, UnfedError):
            return None
        finally:
            self.settled.pop(query, None)

    async def leave(self, patience: float) -> None:
        """Ask it to stop, then make it; returns when the process has ended."""
        self.leaving = True
        self.tell(Stop())
        try:
            async with asyncio.timeout(patience):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        for task in self._tasks:
            task.cancel()
        self.process.writer.close()

    # -- hearing

    async def _read(self) -> None:
        reader = self.process.reader
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                if self.process.codec == "json":
                    line = await reader.readuntil(b"\n")
                    report = control.decode_report_line(line)
                else:
                    length = int.from_bytes(await reader.readexactly(4), "little")
                    report = control.decode_report(await reader.readexactly(length))
                self._take(report)

    def _take(self, report: Report) -> None:
        self._last_beat = time.monotonic()
        if isinstance(report, Beat):
            for name in report.__struct_fields__:
                setattr(self.state, name, getattr(report, name))
            self._heard(self, report)
        elif isinstance(report, Hello):
            _resolve(self.hello, report)
        elif isinstance(report, Pinned):
            _resolve(self.pinned, None)
        elif isinstance(report, Ready):
            _resolve(self.ready, report)
        elif isinstance(report, Broken):
            self._give_up(UnfedError.of(report.failure))
        elif isinstance(report, Settled):
            if (future := self.settled.get(report.query)) is not None:
                _resolve(future, report)
        else:
            self._heard(self, report)

    async def _wait(self) -> None:
        status = await self.process.wait()
        failure = self.obituary(status)
        self._give_up(UnfedError.of(failure))
        self._ended(self, status)

    def _give_up(self, error: UnfedError) -> None:
        """Whoever waits for a step of this member is told."""
        futures: list[asyncio.Future[Any]] = [self.hello, self.pinned, self.ready, *self.settled.values()]
        for future in futures:
            if not future.done():
                future.set_exception(error)
                future.exception()  # it may be that nobody waits

    # -- looking

    def obituary(self, status: int) -> Failure:
        """Why the process is gone, with the end of its log."""
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        return Failure(
            kind="party-lost", message=f"process {self.process.pid} {how}", party=self.spec.name, hint=self.last_words()
        )

    def hung(self) -> Failure | None:
        """Why it does not answer, if it is stopped. A late heartbeat alone is no sign: native code may be at work."""
        late = time.monotonic() - self._last_beat
        if late < LATE:
            return None
        try:
            status = psutil.Process(self.process.pid).status()
        except psutil.Error:
            return None  # its end is reported by whoever reaps it
        if status not in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP):
            return None
        return Failure(
            kind="party-hung",
            message=f"process {self.process.pid} is stopped and has been silent for {late:.1f} s",
            party=self.spec.name,
            hint=f"kill -CONT {self.process.pid} lets it go on, or restart it",
        )

    def tail(self, lines: int) -> list[str]:
        """The last lines of its log."""
        if self.process.log is None:
            return []
        try:
            with self.process.log.open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - 256 * lines))
                return file.read().decode(errors="replace").splitlines()[-lines:]
        except OSError:
            return []

    def last_words(self) -> str:
        said = [line.strip() for line in self.tail(20) if line.strip()]
        where = f"log: {self.process.log}"
        return f"its last words were: {said[-1][:200]}; {where}" if said else f"it said nothing; {where}"


def _resolve(future: asyncio.Future[T], value: T) -> None:
    if not future.done():
        future.set_result(value)


def peer_of(name: str, hello: Hello, *, dial: bool) -> Peer:
    """The roster's line for a member that has said hello."""
    return Peer(name, hello.host, hello.port, hello.channel_port, hello.certificate, dial)


def log_path(folder: Path, variant: str, name: str) -> Path:
    safe = "".join(c if c.isalnum() or c in "-_.=" else "_" for c in f"{variant}.{name}")
    return folder / f"{safe}.log"
