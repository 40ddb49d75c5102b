"""Without ids on the wire: what a query's messages leave on their way counts towards it, and towards no other."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
from puppets import plan
from real_fleets import act, ask, began, pid_of, running, state_of, until, wish

from unfed.console.fleet.fleet import STILL_WITHIN, Fleet
from unfed.console.fleet.member import Member
from unfed.console.fleet.process import LocalLauncher
from unfed.console.fleet.stillness import Stillness
from unfed.console.party.control import Counted
from unfed.plugins import Emulation, Party

slow = pytest.mark.slow
pytestmark = pytest.mark.asyncio(loop_scope="session")

TRAIL = wish("acts:trail", path=["a", "b", "c"], pause=0.1)
ALONG = {("client", "a"): 1, ("a", "b"): 1, ("b", "c"): 1}


@pytest_asyncio.fixture(loop_scope="session")
async def fleet(launcher: LocalLauncher, tmp_path: Path) -> AsyncIterator[Fleet]:
    again = Party("b", "puppets:Puppet", restart="on-failure")
    async with running(launcher, plan("a", again, "c", private_ids=True), tmp_path, views=tmp_path / "views") as fleet:
        yield fleet


def links(outcome: Any) -> dict[tuple[str, str], int]:
    return {(link.source, link.target): link.messages for link in outcome.settlement.trace.links}


@slow
async def test_what_still_goes_on_when_a_query_is_answered_counts_towards_it(fleet: Fleet) -> None:
    for _ in range(3):
        outcome = await ask(fleet, TRAIL)
        assert outcome.finished.total < 0.3, "it is answered long before the last message has come"
        assert links(outcome) == ALONG
        assert {view.party: entries for view, entries, _ in outcome.settlement.views} == {
            "client": 0,
            "a": 1,
            "b": 1,
            "c": 1,
        }


@slow
async def test_messages_on_slow_links_are_waited_for(launcher: LocalLauncher, tmp_path: Path) -> None:
    links_of = plan("a", "b", "c", private_ids=True)
    async with running(launcher, links_of, tmp_path, link=Emulation(delay=0.05, bandwidth=0, burst=0)) as fleet:
        for _ in range(2):
            assert links(await ask(fleet, TRAIL)) == ALONG


@slow
async def test_who_asks_beside_is_not_waited_for(fleet: Fleet) -> None:
    other = await began(fleet, wish("acts:linger", token=True, seconds=60.0))
    assert (await asyncio.wait_for(ask(fleet, wish("acts:pid")), STILL_WITHIN / 2)).failure is None
    other.cancel()
    await asyncio.wait({other})


@slow
async def test_what_was_lost_with_a_party_is_waited_for_once(fleet: Fleet) -> None:
    os.kill(pid_of(fleet, "b"), signal.SIGSTOP)
    asking = asyncio.create_task(ask(fleet, TRAIL))
    await asyncio.sleep(0.2)  # by now the message lies before b, which never takes it up
    fleet.kill("b")
    await asyncio.wait_for(asking, STILL_WITHIN + 1)
    await until(lambda: state_of(fleet, "b").restarts == 1 and state_of(fleet, "b").health == "ready")
    await asyncio.wait_for(ask(fleet, TRAIL), STILL_WITHIN + 1)
    assert fleet._stillness.lost
    for _ in range(2):
        assert links(await asyncio.wait_for(ask(fleet, TRAIL), STILL_WITHIN / 2)) == ALONG
    assert await act(fleet, "acts:pid", "a", "b") == pid_of(fleet, "b")


class Scripted:
    """A member that counts as it is told to, and its last count for ever."""

    def __init__(self, *counts: tuple[int, int, bool] | None) -> None:
        self.counts = [None if each is None else Counted(*each) for each in counts]
        self.asked = 0

    async def count(self) -> Counted | None:
        self.asked += 1
        return self.counts.pop(0) if len(self.counts) > 1 else self.counts[0]


async def come(stillness: Stillness, *members: Scripted, within: float = 0.1) -> bool:
    return await stillness.come(cast("list[Member]", list(members)), within)


async def test_one_count_is_not_believed() -> None:
    """The first is taken of a before it sends and of b after it received: nothing seems to be missing."""
    a, b = Scripted((4, 0, False), (5, 0, False)), Scripted((0, 4, False), (0, 4, False), (0, 5, False))
    assert await come(Stillness(), a, b)
    assert a.asked >= 3


async def test_nobody_is_still_who_is_at_work() -> None:
    stillness = Stillness()
    assert not await come(stillness, Scripted((1, 0, False)), Scripted((0, 1, True)))
    assert stillness.lost == 0


async def test_what_is_missing_is_waited_for_and_then_held_to_be_lost() -> None:
    stillness, counts = Stillness(), (Scripted((3, 0, False)), Scripted((0, 1, False)))
    assert not await come(stillness, *counts)
    assert stillness.lost == 2
    assert await come(stillness, *counts)
    assert not await come(stillness, Scripted((3, 0, False)), Scripted((0, 0, False)))


async def test_those_who_are_gone_are_not_counted() -> None:
    assert await come(Stillness(), Scripted((2, 2, False)), Scripted(None))
