"""What runs in a party's process: it makes a key, meets its peers, plays its role, and answers its launcher."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
import traceback
from collections import defaultdict
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import setproctitle

from unfed.plugins import ClientRole, Failure, PartySpec, Phase, Role, UnfedError

from . import asking
from .channel import Door
from .connection import Connection
from .context import PartyContext
from .control import (
    Ask,
    Begin,
    Broken,
    Cancel,
    Happened,
    Hello,
    Meet,
    Order,
    Pinned,
    Ready,
    Roster,
    Settle,
    Settled,
    Stop,
    Trouble,
)
from .figures import Figures
from .frames import CALL, Frame, Header
from .handlers import Handler, load_role, served
from .identity import Identity
from .link import ControlLink, ControlStream
from .meter import Meter
from .tape import Tape
from .wire import Wire, current_query

log = logging.getLogger("unfed.party")

_REMEMBERED = 4096
"""Ended queries whose late messages are still recognised."""


class Host:
    """One party. Everything runs on one event loop, apart from the control link and the role's own threads."""

    def __init__(self, spec: PartySpec, link: ControlLink, meter: Meter) -> None:
        self._spec = spec
        self._link = link
        self._meter = meter
        self._tape = Tape(Path(spec.tape)) if spec.tape else None
        record = self._tape.message if self._tape else None
        self._identity = Identity(spec.name)
        self._wire = Wire(self._identity, meter, spec.link, spec.private_ids, self._arrived, self._complain, record)
        self._door = Door(self._identity, meter, spec.link, record)
        self._ctx = PartyContext(spec, self._wire, self._door, self._tape, self._phase)
        self._role: Role | None = None
        self._handlers: dict[str, Handler] = {}
        self._tasks: defaultdict[str, set[asyncio.Task[None]]] = defaultdict(set)
        self._over: dict[str, None] = {}
        self._early: list[tuple[Connection, Frame]] = []
        self.stopped = asyncio.Event()

    # -- orders of the launcher

    async def listen(self) -> None:
        spec = self._spec
        try:
            port = await self._wire.listen(spec.listen, spec.port)
            channel_port = self._door.listen(spec.listen)
        except OSError as error:
            where = f"{spec.listen}:{spec.port}"
            self._link.send(
                Broken(
                    Failure(
                        kind="fleet",
                        message=f"cannot listen on {where}: {error.strerror}",
                        party=spec.name,
                        hint="choose another port, or 0 for any",
                    )
                )
            )
            return
        self._link.send(Hello(os.getpid(), self._identity.certificate, spec.listen, port, channel_port))

    def obey(self, order: Order) -> None:
        """Carry out an order; called on the event loop."""
        if isinstance(order, Roster):
            peers = {peer.name: peer for peer in order.peers}
            self._wire.pin(peers)
            self._door.meet(peers)
            self._ctx.peers = tuple(peers)
            self._link.send(Pinned())
        elif isinstance(order, Meet):
            self._spawn("", self._meet())
        elif isinstance(order, Ask):
            self._spawn(order.query.id, self._answer(order))
        elif isinstance(order, Cancel):
            for task in self._tasks.get(order.query, ()):
                task.cancel()
        elif isinstance(order, Settle):
            self._spawn("", self._settle(order.query))
        elif isinstance(order, Stop):
            self._spawn("", self._stop())

    async def _meet(self) -> None:
        began = time.perf_counter()
        try:
            await self._wire.meet()
            if self._role is None:
                role = load_role(self._spec.role)(self._ctx)
                self._handlers = served(role)
                await role.start()
                self._meter.settle("")
                self._role = role
                early, self._early = self._early, []
                for connection, frame in early:
                    self._arrived(connection, frame)
        except Exception as error:
            self._link.send(Broken(self._failure(error, "the role could not start")))
            return
        self._link.send(Ready(time.perf_counter() - began, dict(self._ctx.phases.pop("", {}))))

    async def _answer(self, order: Ask) -> None:
        query = order.query
        if not isinstance(self._role, ClientRole):
            failure = Failure(kind="internal", message="only the client answers queries", party=self._spec.name)
            self._link.send(Trouble(query.id, failure))
            return
        emit = lambda event: self._link.send(Happened(query.id, event))  # noqa: E731
        await asking.answer(self._role, self._ctx, query, emit, self._failure)

    async def _settle(self, query: str) -> None:
        self._over[query] = None  # what is still on its way for it is dropped
        if len(self._over) > _REMEMBERED:
            del self._over[next(iter(self._over))]
        for task in self._tasks.pop(query, set()):
            task.cancel()
        if self._role is not None:
            try:
                await self._role.forget(query)
            except Exception as error:
                self._link.send(Trouble("", self._failure(error, "the role could not forget a query")))
        entries, size = self._tape.settle(query) if self._tape is not None else (0, 0)
        self._link.send(
            Settled(
                query=query,
                trace=self._meter.settle(query),
                contribution=self._ctx.settle(query),
                entries=entries,
                tape_bytes=size,
            )
        )

    async def _stop(self) -> None:
        if self._role is not None:
            with contextlib.suppress(Exception):
                await self._role.stop()
        if self._tape is not None:
            self._tape.flush()
        await self._wire.close()
        self.stopped.set()

    # -- messages of peers

    def _arrived(self, connection: Connection, frame: Frame) -> None:
        header = frame.header
        if self._role is None:
            self._early.append((connection, frame))  # its sender was ready before us
            return
        if header.query in self._over:
            return
        handler = self._handlers.get(header.name)
        try:
            if handler is None:
                raise ValueError(f"there is no method {header.name[:64]!r} here")
            values = handler.check(frame.values())
        except ValueError as error:
            connection.drop(str(error), broke_protocol=True)
            return
        self._spawn(header.query, self._handle(connection, header, handler, values))

    async def _handle(self, connection: Connection, header: Header, handler: Handler, values: dict[str, Any]) -> None:
        try:
            value = await handler(connection.peer, values)
            if header.kind == CALL:
                await self._wire.answer(connection, header, value)
        except Exception as error:
            failure = self._failure(error, f"{header.name} failed")
            if header.kind == CALL:
                with contextlib.suppress(UnfedError):
                    await self._wire.fault(connection, header, UnfedError.of(failure))
            else:
                self._link.send(Trouble(header.query, failure))

    def _complain(self, error: UnfedError) -> None:
        self._link.send(Trouble("", error.failure))

    # -- small things

    def _phase(self, query: str, phase: Phase) -> None:
        if query and (self._spec.name == "client" or phase.kind != "setup"):
            self._link.send(Happened(query, phase))

    def _spawn(self, query: str, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` as a task of `query`, so that it can be cancelled with it."""
        token = current_query.set(query)
        task = asyncio.get_running_loop().create_task(work)
        current_query.reset(token)
        self._tasks[query].add(task)
        task.add_done_callback(lambda done: self._done(query, done))

    def _done(self, query: str, task: asyncio.Task[None]) -> None:
        tasks = self._tasks.get(query)
        if tasks is not None:
            tasks.discard(task)
            if not tasks:
                del self._tasks[query]

    def _failure(self, error: BaseException, what: str) -> Failure:
        """An error as a person should read it; one of the role's own goes to the log with its traceback.

        Its message is not repeated: it may hold what must not leave this party.
        """
        if isinstance(error, UnfedError):
            failure = error.failure
            return failure if failure.party else Failure(**{**_asdict(failure), "party": self._spec.name})
        frames_ = traceback.extract_tb(error.__traceback__)
        where = f"{Path(frames_[-1].filename).name}:{frames_[-1].lineno}" if frames_ else "?"
        log.error("%s: %s\n%s", what, type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
        return Failure(
            kind="role",
            message=f"{what}: {type(error).__name__} at {where}",
            party=self._spec.name,
            hint="its log has the traceback",
        )


def _asdict(failure: Failure) -> dict[str, Any]:
    return {name: getattr(failure, name) for name in failure.__struct_fields__}


def play(stream: ControlStream) -> None:
    """Be a party until the launcher says stop or is gone. Returns when stopped."""
    import uvloop

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    uvloop.run(_play(stream))


async def _play(stream: ControlStream) -> None:
    loop = asyncio.get_running_loop()
    first: asyncio.Future[Begin] = loop.create_future()
    hosts: list[Host] = []

    def obey(order: Order) -> None:
        if hosts:
            hosts[0].obey(order)
        elif isinstance(order, Begin) and not first.done():
            first.set_result(order)

    def take(order: Order) -> None:
        loop.call_soon_threadsafe(obey, order)

    link = ControlLink(stream, take)
    meter = Meter()
    link.start(Figures(meter).beat)
    spec = (await first).spec
    meter.begin(spec.name, spec.private_ids)
    setproctitle.setproctitle(spec.title)
    _settle_in(spec)
    host = Host(spec, link, meter)
    hosts.append(host)
    await host.listen()
    await host.stopped.wait()
    link.finish()


def _settle_in(spec: PartySpec) -> None:
    """Threads as the plan says, and generators of this process's own: forked children would share their parent's."""
    import random
    import sys

    random.seed(os.urandom(32))
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(int.from_bytes(os.urandom(4), "little"))
    if (torch := sys.modules.get("torch")) is not None:
        torch.seed()
        torch.set_num_threads(spec.threads)
