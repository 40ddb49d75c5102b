"""What a client tells that is no query's: at once, once, and by nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from puppets import plan
from real_fleets import ask, log_of, running, until, wish

from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.plugins import Note, Party

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

Make = Callable[..., AbstractAsyncContextManager[Fleet]]
NOTE = Note(kind="check", party="a", text="it was as stated")
SAID = {"kind": "check", "party": "a", "text": "it was as stated"}


@pytest.fixture
def told() -> list[Note]:
    return []


@pytest.fixture
def fleet_of(launcher: LocalLauncher, tmp_path: Path, told: list[Note]) -> Make:
    def make(**settings: Any) -> Any:
        client = Party("client", "foresight:Foresighted", settings=settings)
        return running(launcher, plan(client, "a", private_ids=True), tmp_path, told=told.append)

    return make


async def test_a_note_between_queries_is_told_at_once_and_once(fleet_of: Make, told: list[Note]) -> None:
    async with fleet_of(tells=[[SAID], []]) as fleet:
        assert await fleet.rested()
        assert told == [NOTE]
        outcome = await ask(fleet, wish("acts:nothing"))
        assert outcome.failure is None and await fleet.rested()
        assert told == [NOTE] and not any(isinstance(event, Note) for event in outcome.events)


async def test_one_while_a_query_is_in_flight_is_none_of_its_events(fleet_of: Make, told: list[Note]) -> None:
    async with fleet_of() as fleet:
        outcome = await ask(fleet, wish("acts:tell", **SAID, at=5.0))
        assert outcome.failure is None and told == [NOTE], "and has no time in any query"
        assert not any(isinstance(event, Note) for event in outcome.events)


async def test_nodes_tell_none(fleet_of: Make, told: list[Note]) -> None:
    async with fleet_of() as fleet:
        failure = (await ask(fleet, wish("acts:tell", "a", **SAID))).failure
        assert failure is not None and (failure.kind, failure.party) == ("role", "a")
        assert "only the client tells" in failure.message
        assert (await ask(fleet, wish("acts:forge_news", "a", **SAID))).failure is None
        assert (await ask(fleet, wish("acts:tell", **(SAID | {"text": "the next one"})))).failure is None
        assert [note.text for note in told] == ["the next one"]


async def test_what_is_no_note_is_not_told(fleet_of: Make, told: list[Note]) -> None:
    async with fleet_of(tells=[[SAID | {"text": 5}]]) as fleet:
        await until(lambda: "nothing was done ahead" in log_of(fleet, "client"))
        assert "yielded a Note that is none" in log_of(fleet, "client")
        failure = (await ask(fleet, wish("acts:tell", **(SAID | {"party": 7})))).failure
        assert failure is not None and (failure.kind, failure.party) == ("role", "client")
        assert told == []


async def test_nothing_is_told_of_a_fleet_that_is_stopped(fleet_of: Make, told: list[Note]) -> None:
    async with fleet_of(parting=SAID) as fleet:
        assert await fleet.rested()
    assert "it has parted" in log_of(fleet, "client"), "it did tell"
    await asyncio.sleep(0)
    assert told == []
