"""Real fleets for tests: one warm fork server for the whole session, and short ways to ask and to look at processes."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
import pytest_asyncio

from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import PRELOAD, LocalLauncher
from unfed.console.fleet.settlement import Settlement
from unfed.plugins import (
    Answer,
    Event,
    Failed,
    Failure,
    Finished,
    Launcher,
    PartyProcess,
    PartySpec,
    Plan,
    Query,
)

SUPPORT = Path(__file__).parent
_numbers = itertools.count(1)


def with_roles(plan: Plan, roles: Mapping[str, str]) -> Plan:
    """The plan with other roles for some parties, whose names stand with _ for -."""
    parties = (msgspec.structs.replace(p, role=roles.get(p.name.replace("-", "_"), p.role)) for p in plan.parties)
    return msgspec.structs.replace(plan, parties=tuple(parties)).check()


def with_support(environment: dict[str, str] | os._Environ[str] = os.environ) -> str:
    """A PYTHONPATH on which processes find these helpers."""
    return os.pathsep.join([str(SUPPORT), *filter(None, [environment.get("PYTHONPATH")])])


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def launcher(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalLauncher]:
    """A fork server that is warm and finds these helpers; tests that use it run on the session's event loop."""
    async with a_launcher(tmp_path_factory.mktemp("fork-server"), PRELOAD) as launcher:
        yield launcher


class Lent(Launcher):
    """A launcher for a session of one test, which the session does not end with itself."""

    name = "lent"

    def __init__(self, lender: Launcher) -> None:
        self._lender = lender

    async def start(self) -> None:
        await self._lender.start()

    async def launch(self, spec: PartySpec, log: Path) -> PartyProcess:
        return await self._lender.launch(spec, log)

    async def close(self) -> None:
        """Leave it to whoever lent it."""


@asynccontextmanager
async def a_launcher(logs: Path, preload: Sequence[str] = ()) -> AsyncIterator[LocalLauncher]:
    """One of a test's own, for those that break it. It is warm at once if it need not know torch."""
    launcher = LocalLauncher(logs, preload)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = with_support()
    try:
        await launcher.start()
        assert launcher.warm is not None
        await launcher.warm
        yield launcher
    finally:
        await launcher.close()
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


@asynccontextmanager
async def running(launcher: Any, plan: Plan, folder: Path, **more: Any) -> AsyncIterator[Fleet]:
    """A fleet for `plan` with a name of its own; stopped at the end."""
    variant = more.pop("variant", f"t{next(_numbers)}")
    fleet = Fleet(variant, "puppets", plan, more.pop("models", {}), launcher=launcher, logs=folder / "logs", **more)
    try:
        await fleet.start()
        yield fleet
    finally:
        await fleet.stop()


class Outcome:
    """What became of one query."""

    def __init__(self, query: str, events: list[Event], seconds: float, settlement: Settlement) -> None:
        self.query, self.events, self.seconds, self.settlement = query, events, seconds, settlement

    @property
    def failure(self) -> Failure | None:
        last = self.events[-1]
        return last.error if isinstance(last, Failed) else None

    @property
    def finished(self) -> Finished:
        last = self.events[-1]
        assert isinstance(last, Finished), last
        return last

    @property
    def answer(self) -> Answer:
        return self.finished.answer

    @property
    def did(self) -> Any:
        return json.loads(self.answer.text)


async def ask(
    fleet: Fleet, prompt: str, timeout: float = 30.0, on_event: Callable[[Event], None] | None = None, **more: Any
) -> Outcome:
    """Ask, gather the events and settle. `more` goes into the query."""
    query = f"q{next(_numbers)}"
    events: list[Event] = []
    began = time.monotonic()
    async for event in fleet.ask(Query(id=query, prompt=prompt, **more), timeout):
        events.append(event)
        if on_event is not None:
            on_event(event)
    seconds = time.monotonic() - began
    return Outcome(query, events, seconds, await fleet.settle(query))


def wish(what: str, /, *path: str, token: bool = False, **args: Any) -> str:
    """The prompt that has `what` (`module:coroutine`) performed at the end of `path`."""
    return json.dumps({"what": what, "path": list(path), "args": args, "token": token})


async def act(fleet: Fleet, what: str, /, *path: str, timeout: float = 30.0, **args: Any) -> Any:
    """What `what` returns when it is performed at the end of `path` (at the client where that is empty)."""
    return (await ask(fleet, wish(what, *path, **args), timeout)).did


async def began(fleet: Fleet, prompt: str, timeout: float = 30.0) -> asyncio.Task[Outcome]:
    """A query under way: its role has been entered."""
    entered = asyncio.Event()
    task = asyncio.create_task(ask(fleet, prompt, timeout, lambda event: entered.set()))
    waiting = asyncio.create_task(entered.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    return task


def pid_of(fleet: Fleet, name: str) -> int:
    return next(state.pid for state in fleet.parties() if state.name == name)


def state_of(fleet: Fleet, name: str) -> Any:
    return next(state for state in fleet.parties() if state.name == name)


def alive(pids: list[int]) -> list[int]:
    """Those that still run; zombies do not."""
    found = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.NoSuchProcess:
            pass
    return found


async def until(condition: Callable[[], Any], seconds: float = 5.0) -> float:
    """Wait for what no event tells of; returns how long it took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, f"not within {seconds} s"
        await asyncio.sleep(0.02)
    return time.monotonic() - start


def log_of(fleet: Fleet, name: str) -> str:
    return "\n".join(fleet.log_tail(name, 500))
