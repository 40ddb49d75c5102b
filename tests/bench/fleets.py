"""Starting fleets for a bench, and asking them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.plugins import Answer, Emulation, Event, Failed, Finished, Plan, Query, Token, UnfedError
from unfed.plugins.backend import Models

TIMEOUT = 300.0


@asynccontextmanager
async def one_launcher(folder: Path) -> AsyncIterator[LocalLauncher]:
    """A fork server of our own that is warm."""
    launcher = LocalLauncher(folder / "logs")
    try:
        await launcher.start()
        assert launcher.warm is not None
        await launcher.warm
        yield launcher
    finally:
        await launcher.close()


@asynccontextmanager
async def running(
    launcher: LocalLauncher, folder: Path, name: str, plan: Plan, models: Models, link: Emulation | None = None
) -> AsyncIterator[Fleet]:
    """A fleet of this plan, from its start to its end."""
    fleet = Fleet(name, name, plan, models, launcher=launcher, logs=folder / "logs", link=link)
    await fleet.start()
    try:
        yield fleet
    finally:
        await fleet.stop()


async def tokens_of(fleet: Fleet, query: Query) -> tuple[list[Token], Answer]:
    """Every token of one query and its answer; the query is settled. Raises UnfedError where it fails."""
    events = await events_of(fleet, query)
    assert isinstance(events[-1], Finished)
    return [event for event in events if isinstance(event, Token)], events[-1].answer


async def events_of(fleet: Fleet, query: Query) -> list[Event]:
    """All that happened in one query, `Finished` last; the query is settled. Raises UnfedError where it fails."""
    events = [event async for event in fleet.ask(query, TIMEOUT)]
    await fleet.settle(query.id)
    if isinstance(events[-1], Failed):
        raise UnfedError.of(events[-1].error)
    return events


async def asking(fleet: Fleet, identifier: str, prompt: str) -> Answer:
    return (await tokens_of(fleet, Query(id=identifier, prompt=prompt)))[1]
