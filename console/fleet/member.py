"""One process of a fleet as its supervisor sees it: control link, health and figures."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec

from unfed.plugins import Failure, PartyProcess, PartySpec, UnfedError

from ..party import control
from ..party.control import (
    Beat,
    Begin,
    Broken,
    Count,
    Counted,
    Hello,
    Order,
    Peer,
    Pinned,
    Ready,
    Report,
    Settled,
    Stop,
)
from .logs import PartyLog
from .look import is_stopped
from .state import PartyState

T = TypeVar("T")

LATE = 4 * control.BEAT
"""Seconds without a heartbeat after which we look at the process."""
LAST_WORDS = 0.2
TO_DIE = 5.0
"""Seconds to read what an ended process still has to say, and to wait for one that was killed."""


class Member:
    """A launched party.

    Args:
        heard: called with every report that is not the member's own business.
        ended: called once when the process has ended, with why.
        log_start: size of its log before it was started.
    """

    def __init__(
        self,
        spec: PartySpec,
        process: PartyProcess,
        state: PartyState,
        heard: Callable[[Member, Report], None],
        ended: Callable[[Member, Failure], None],
        log_start: int = 0,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.spec, self.process, self.state = spec, process, state
        self.hello: asyncio.Future[Hello] = loop.create_future()
        self.pinned: asyncio.Future[None] = loop.create_future()
        self.ready: asyncio.Future[Ready] = loop.create_future()
        self.settled: dict[str, asyncio.Future[Settled]] = {}
        self._counted: asyncio.Future[Counted] | None = None
        self.leaving = False
        self.end: Failure | None = None
        self._heard, self._ended = heard, ended
        self._last_beat = time.monotonic()
        self.log = PartyLog(process.log, log_start)
        self._offence: Failure | None = None
        state.pid = process.pid
        self._reading = loop.create_task(self._read())
        self._waiting = loop.create_task(self._wait())

    @property
    def is_here(self) -> bool:
        """Whether it has said hello and is not gone or going, so that others can be told of it."""
        here = self.end is None and not self.leaving and self.state.health != "lost"
        return here and self.hello.done() and self.hello.exception() is None

    @property
    def is_ready(self) -> bool:
        return self.ready.done() and self.ready.exception() is None

    def expect_again(self) -> None:
        """It is about to get a new roster, and will say once more that it has it and is ready."""
        if self.pinned.done():
            loop = asyncio.get_running_loop()
            self.pinned, self.ready = loop.create_future(), loop.create_future()

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

    async def settle(self, query: str, adopted: tuple[str, ...], patience: float) -> Settled | None:
        """The party's report on a query that is over; None if it does not answer in time."""
        if self.state.health != "ready" or self.end is not None:
            return None
        future = self.settled.setdefault(query, asyncio.get_running_loop().create_future())
        self.tell(control.Settle(query, adopted))
        try:
            async with asyncio.timeout(patience):
                return await future
        except (TimeoutError, UnfedError):
            return None
        finally:
            self.settled.pop(query, None)

    async def count(self) -> Counted | None:
        """What it has sent and received so far; None if it is not there to say so. One may ask at a time."""
        if self.state.health != "ready" or self.end is not None:
            return None
        self._counted = asyncio.get_running_loop().create_future()
        self.tell(Count())
        try:
            return await self._counted
        except UnfedError:
            return None

    async def leave(self, patience: float) -> None:
        """Ask it to stop, then make it; returns when the process has ended."""
        self.leaving = True
        self.tell(Stop())
        try:
            async with asyncio.timeout(0.0 if self.is_stopped() else patience):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await asyncio.wait({self._waiting}, timeout=TO_DIE)
        await asyncio.wait({self._reading, self._waiting}, timeout=LAST_WORDS + 1)
        self._reading.cancel()
        self._waiting.cancel()
        self.process.writer.close()

    # -- hearing

    async def _read(self) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                try:
                    report = await self._next_report()
                except (msgspec.MsgspecError, ValueError, asyncio.LimitOverrunError) as error:
                    self._offence = Failure(
                        kind="protocol",
                        message=f"it sent its launcher what is no report: {error}",
                        party=self.spec.name,
                        hint=self.log.last_words(),
                    )
                    self.process.kill()
                    return
                self._take(report)

    async def _next_report(self) -> Report:
        """Raises msgspec.MsgspecError, ValueError or asyncio.LimitOverrunError for what is no report."""
        reader = self.process.reader
        if self.process.codec == "json":
            line: Report = control.decode_report_line(await reader.readuntil(b"\n"))
            return line
        length = int.from_bytes(await reader.readexactly(4), "little")
        if length > control.MAX_MESSAGE:
            raise ValueError(f"{length} bytes are announced")
        report: Report = control.decode_report(await reader.readexactly(length))
        return report

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
        elif isinstance(report, Broken):  # it may be that it plays on, and cannot reach one who is new
            _reject((self.hello, self.pinned, self.ready), UnfedError.of(report.failure))
        elif isinstance(report, Settled):
            if (future := self.settled.get(report.query)) is not None:
                _resolve(future, report)
        elif isinstance(report, Counted):
            if self._counted is not None:
                _resolve(self._counted, report)
        else:
            self._heard(self, report)

    async def _wait(self) -> None:
        status = await self.process.wait()
        # What it said before it ended may explain its end; whoever else holds its socket open must not delay that.
        await asyncio.wait({self._reading}, timeout=LAST_WORDS)
        self.end = self._offence or self.obituary(status)
        self.give_up(UnfedError.of(self.end))
        self._ended(self, self.end)

    def give_up(self, error: UnfedError) -> None:
        """Whoever waits for a step of this member is told."""
        futures: list[asyncio.Future[Any]] = [self.hello, self.pinned, self.ready, *self.settled.values()]
        futures += [] if self._counted is None else [self._counted]
        _reject(futures, error)

    # -- looking

    def obituary(self, status: int) -> Failure:
        """Why the process is gone, with the end of its log."""
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        note = f": {self.process.note}" if self.process.note else ""
        return Failure(
            kind="party-lost",
            message=f"process {self.process.pid} {how}{note}",
            party=self.spec.name,
            hint=self.log.last_words(),
        )

    def hung(self) -> Failure | None:
        """Why it does not answer, if it is stopped. A late heartbeat alone is no sign: native code may be at work."""
        late = time.monotonic() - self._last_beat
        if late < LATE or not self.is_stopped():
            return None
        return Failure(
            kind="party-hung",
            message=f"process {self.process.pid} is stopped and has been silent for {late:.1f} s",
            party=self.spec.name,
            hint=f"kill -CONT {self.process.pid} lets it go on, or restart it",
        )

    def is_stopped(self) -> bool:
        """Whether its process is seen to be stopped, as by SIGSTOP."""
        return self.process.local and is_stopped(self.process.pid)


def _resolve(future: asyncio.Future[T], value: T) -> None:
    if not future.done():
        future.set_result(value)


def _reject(futures: Iterable[asyncio.Future[Any]], error: UnfedError) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)
            future.exception()  # it may be that nobody waits


def peer_of(name: str, hello: Hello, *, dial: bool) -> Peer:
    """The roster's line for a member that has said hello."""
    return Peer(name, hello.host, hello.port, hello.channel_port, hello.certificate, dial)
