"""Making something happen in the middle of an answer, however quick the answer is."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterator

from ..query import Event, Started, Token
from .canary import Asked
from .exchange import Exchange
from .lab import Fleet
from .rig import LONG, Rig, signalled

_POLL = 0.05


class Fault:
    """Something to be done once while a query is in flight, and when it was done."""

    def __init__(self, do: Callable[[], None]) -> None:
        self._do = do
        self.began = time.monotonic()
        self.at = 0.0
        self.done = False
        self.query = ""

    def __call__(self) -> None:
        if not self.done:
            self.done = True
            self.at = time.monotonic() - self.began
            self._do()


async def mid_answer(rig: Rig, fleet: Fleet, fault: Fault, prompt: Asked | None = None) -> Exchange:
    """Ask for a long answer (to a fresh prompt where none is given), and let the fault happen at its first token."""

    def watch(event: Event) -> None:
        if isinstance(event, Token):
            fault()

    query = rig.query(prompt, LONG)
    fault.query, fault.began = query.id, time.monotonic()
    return await rig.ask(fleet, query, during=watch, settle=False)


async def held_up(rig: Rig, fleet: Fleet, fault: Fault, *, at_once: bool = False) -> Exchange:
    """Ask while a party is held up, and let the fault happen when the client has taken the query up.

    Args:
        at_once: the fault itself holds the party up: it comes before the query.
    """
    query = rig.query(rig.prompt(), LONG)
    started = asyncio.Event()
    fault.query, fault.began = query.id, time.monotonic()
    if at_once:
        fault()

    def watch(event: Event) -> None:
        if isinstance(event, Started):
            started.set()

    asking = asyncio.create_task(rig.ask(fleet, query, during=watch, settle=False))
    with contextlib.suppress(TimeoutError):  # a client that is itself held up says nothing
        await asyncio.wait_for(started.wait(), 0.5)
    fault()
    return await asking


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Hold a process up for a while."""
    signalled(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        signalled(pid, signal.SIGCONT)


async def until(holds: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:  # noqa: ASYNC110  (processes tell nobody)
        await asyncio.sleep(_POLL)
    return holds()
