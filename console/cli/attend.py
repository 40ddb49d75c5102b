"""Sees a run through, whatever signals come."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from ..results.record import Record
from ..runner.request import Request
from .interrupts import Interrupts, waking
from .narrate import Narrator
from .sessions import Attended, Closing

CLOSING = 10.0
"""Seconds that fleets get to end; what is left then ends with this process."""
HURRIED = 2.0


async def attend(session: Attended, request: Request, narrator: Narrator, interrupts: Interrupts) -> Record:
    """The record of the run; partial if a signal came, and none at all (the task is cancelled) if a second one did."""
    with waking():
        return await _attend(session, request, narrator, interrupts)


async def _attend(session: Attended, request: Request, narrator: Narrator, interrupts: Interrupts) -> Record:
    interrupts.ask = soon(lambda: _ended_early(session, narrator))
    interrupts.insist = soon(this_task().cancel)
    narrator.begin(request)
    record: Record | None = None
    try:
        await session.warm()
        if interrupts.count:  # there was no run to interrupt yet
            asyncio.get_running_loop().call_soon(session.interrupt)
        record = await session.run(request, narrator)
    finally:
        try:
            await close_within(session, HURRIED if interrupts.count > 1 else CLOSING)
        except asyncio.CancelledError:
            if record is None:
                raise
    return record


def _ended_early(session: Attended, narrator: Narrator) -> None:
    narrator.say("interrupted: ending the run and keeping what there is; once more ends it at once")
    session.interrupt()


async def close_within(session: Closing, patience: float) -> None:
    """End every fleet of the session, within `patience` seconds; what is left then ends with this process."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            await session.close()


def this_task() -> asyncio.Task[object]:
    """The task that calls this."""
    task = asyncio.current_task()
    assert task is not None
    return task


def soon(action: Callable[[], object]) -> Callable[[], None]:
    """`action`, called by the running loop as soon as it wakes, from wherever the result is called."""
    loop = asyncio.get_running_loop()

    def schedule() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(action)

    return schedule
