"""What runs in a party's process: it makes a key, meets its peers, plays its role, and answers its launcher."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from functools import partial
from pathlib import Path

from unfed.plugins import ClientRole, Failure, PartySpec, Query, Role

from . import asking
from .context import PartyContext
from .control import (
    Ask,
    Broken,
    Cancel,
    Count,
    Counted,
    Gone,
    Happened,
    Hello,
    Lost,
    Meet,
    Order,
    Pinned,
    Ready,
    Returned,
    Roster,
    Settle,
    Settled,
    Stop,
    Trouble,
)
from .door import Door
from .echoes import Echoes
from .emulation import SlowLinks
from .ended import Ended
from .failures import explain
from .handlers import load_role, served
from .identity import Identity
from .incoming import Incoming
from .link import ControlLink
from .meter import Meter
from .spare import SpareTime
from .tape import Tape
from .tasks import Tasks
from .telling import Telling
from .wire import Wire


class Host:
    """One party. Everything runs on one event loop, apart from the control link, channels and the role's own threads.

    Args:
        stopped: set once the role has stopped and the process may end.
    Raises:
        UnfedError: its view cannot be written.
    """

    def __init__(
        self,
        spec: PartySpec,
        link: ControlLink,
        meter: Meter,
        echoes: Echoes,
        ended: Ended,
        stopped: asyncio.Event,
    ) -> None:
        self._spec = spec
        self._link = link
        self._meter = meter
        self._ended = ended
        self._tape = Tape(Path(spec.tape), spec.name, spec.private_ids) if spec.tape else None
        record = self._tape.message if self._tape else None
        identity = Identity(spec.name)
        slow = SlowLinks(spec.link)
        self._certificate = identity.certificate
        self._explain = partial(explain, spec.name)
        self._tasks = Tasks()
        self._incoming = Incoming(ended, self._tasks, link.send, self._explain)
        took = self._incoming.arrived, self._incoming.complain
        self._wire = Wire(identity, meter, echoes, ended, spec.link, slow, spec.private_ids, *took, record)
        self._door = Door(identity, meter, ended, spec.link, slow, spec.private_ids, record)
        telling = Telling(spec.name, link)
        self._ctx = PartyContext(spec, identity, self._wire, self._door, self._tape, telling, self._answer)
        self._spare = SpareTime(link.send, self._explain)
        self._role: Role | None = None
        self._stopped = stopped
        self._meeting: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    # -- orders of the launcher

    async def listen(self) -> None:
        spec = self._spec
        try:
            port = await self._wire.listen(spec.listen, spec.port)
            channel_port = self._door.listen(spec.listen)
        except (OSError, OverflowError) as error:
            number = getattr(error, "errno", None) or 0
            why = os.strerror(number) if number > 0 else getattr(error, "strerror", error)
            failure = Failure(
                kind="fleet",
                message=f"cannot listen on {spec.listen}:{spec.port}: {why}",
                party=spec.name,
                hint="choose another port, or 0 for any",
            )
            self._link.send(Broken(failure))
            return
        self._link.send(Hello(os.getpid(), self._certificate, spec.listen, port, channel_port))

    def obey(self, order: Order) -> None:
        """Carry out an order; called on the event loop."""
        if isinstance(order, Roster):
            roster = {peer.name: peer for peer in order.peers}
            if self._meeting is not None:
                self._meeting.cancel()  # it may wait for a peer that is there no more
            gone = set(order.linked) - roster.keys()
            self._wire.pin(roster, gone)
            self._door.pin(roster, gone)
            self._ctx.peers = order.linked
            self._ctx.certificates = {name: peer.certificate for name, peer in roster.items()} | order.known
            self._link.send(Pinned())
        elif isinstance(order, Meet):
            self._tasks.spawn("", self._meet())
        elif isinstance(order, Gone):
            self._wire.gone(order.party)
            self._door.gone(order.party)
            if self._role is not None:
                self._tasks.spawn("", self._gone(self._role, order.party))
        elif isinstance(order, Lost | Returned):
            self._tell_role(order)
        elif isinstance(order, Ask):
            self._spare.over(order.query.id)
            self._tasks.spawn(order.query.id, self._answer(order.query))
        elif isinstance(order, Cancel):
            self._tasks.cancel(order.query)
        elif isinstance(order, Settle):
            self._tasks.spawn("", self._settle(order.query, order.adopted))
        elif isinstance(order, Count):
            self._link.send(Counted(self._meter.messages_out, self._meter.messages_in, self._tasks.busy))
        elif isinstance(order, Stop):
            self._tasks.spawn("", self._stop())

    async def _meet(self) -> None:
        began = time.perf_counter()
        phases: dict[str, float] = {}
        try:
            self._meeting = asyncio.current_task()
            await self._wire.meet()
            self._meeting = None
            async with self._starting:
                if self._role is None:
                    phases = await self._start()
        except Exception as error:
            self._link.send(Broken(self._explain(error, "the role could not start")))
            return
        self._link.send(Ready(time.perf_counter() - began, phases))

    async def _start(self) -> dict[str, float]:
        """Make the role and start it; returns the phases of that."""
        role = load_role(self._spec.role)(self._ctx)
        handlers = served(role)
        await role.start()
        self._meter.settle("")
        self._role = role
        self._spare.begins(role)
        self._incoming.begin(handlers, self._wire)
        return self._ctx.phases.pop("").seconds if "" in self._ctx.phases else {}

    async def _gone(self, role: Role, peer: str) -> None:
        try:
            await role.gone(peer)
        except Exception as error:
            self._link.send(Trouble("", self._explain(error, "gone failed")))

    def _tell_role(self, order: Lost | Returned) -> None:
        """Have the client's role know; one that has not started yet is told of all who are lost once it has."""
        if not isinstance(self._role, ClientRole):
            return
        try:
            if isinstance(order, Lost):
                self._role.lost(order.party, order.failure)
            else:
                self._role.returned(order.party)
        except Exception as error:
            self._link.send(Trouble("", self._explain(error, f"{type(order).__name__.lower()} failed")))

    async def _answer(self, query: Query) -> None:
        if not isinstance(self._role, ClientRole):
            failure = Failure(kind="internal", message="only the client answers queries", party=self._spec.name)
            self._link.send(Trouble(query.id, failure))
            return
        emit = lambda event: self._link.send(Happened(query.id, event))  # noqa: E731
        await asking.answer(self._role, self._ctx, query, emit, self._explain)

    async def _settle(self, query: str, adopted: tuple[str, ...]) -> None:
        ids = (query, *adopted)
        for each in ids:
            await self._end(each)
        entries, size = self._tape.settle(*ids) if self._tape is not None else (0, 0)
        report = Settled(
            query=query,
            trace=self._meter.settle(*ids),
            contribution=self._ctx.settle(*ids),
            entries=entries,
            tape_bytes=size,
        )
        if self._role is not None:
            self._spare.begins(self._role, query)
        self._link.send(report)

    async def _end(self, id: str) -> None:
        """A query, or what one adopted, is over."""
        self._ended.add(id)  # what is still on its way for it is dropped
        await self._tasks.end(id)
        if self._role is not None:
            try:
                await self._role.forget(id)
            except Exception as error:
                self._explain(error, "the role could not forget a query")
        self._wire.settle(id)
        self._door.settle(id)

    async def _stop(self) -> None:
        if self._role is not None:
            with contextlib.suppress(Exception):
                await self._role.stop()
        self._wire.close()
        self._stopped.set()
