"""What a client does ahead of queries: whose cost it is, when it happens, and who waits for it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from puppets import plan
from real_fleets import act, ask, began, log_of, pid_of, running, until, wish

from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.plugins import Finished, Party
from unfed.plugins.view import View

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

Make = Callable[..., AbstractAsyncContextManager[Fleet]]


@pytest.fixture
def fleet_of(launcher: LocalLauncher, tmp_path: Path) -> Make:
    def make(views: Path | None = None, private_ids: bool = False, a: str = "puppets:Puppet", **settings: Any) -> Any:
        client = Party("client", "foresight:Foresighted", settings=settings)
        return running(launcher, plan(client, Party("a", a), private_ids=private_ids), tmp_path, views=views)

    return make


async def nothing(fleet: Fleet) -> Any:
    """A query for which nothing is done but what was done ahead."""
    return await ask(fleet, json.dumps({}))


async def test_what_was_done_ahead_is_the_querys_that_adopts_it(fleet_of: Make, tmp_path: Path) -> None:
    async with fleet_of(tmp_path / "views") as fleet:
        assert await fleet.rested()
        outcome = await nothing(fleet)
        finished = outcome.events[-1]
        assert isinstance(finished, Finished)
        assert finished.offline == 0 and finished.total < 0.05 <= finished.ahead < 1
        settlement = outcome.settlement
        assert settlement.adopted == ("ahead1",)
        assert {(link.source, link.target): link.messages for link in settlement.trace.links} == {
            ("client", "a"): 1,
            ("a", "client"): 1,
        }
        assert settlement.trace.rounds == 0, "nothing was waited for"
        assert [each.amounts for each in settlement.contributions] == [{"helped": 1.0}]
        view = next(view for view, entries, _ in settlement.views if view.party == "a" and entries == 1)
        assert [entry.query for entry in View("a", view.path).messages("ahead1")] == ["ahead1"]
        assert await act(fleet, "acts:forgotten", "a") == [outcome.query, "ahead1"]


async def test_nothing_is_counted_twice(fleet_of: Make) -> None:
    async with fleet_of() as fleet:
        for number in range(1, 4):
            assert await fleet.rested()
            settlement = (await nothing(fleet)).settlement
            assert settlement.adopted == (f"ahead{number}",) and settlement.trace.messages == 2


async def test_without_ids_on_the_wire_it_counts_all_the_same(fleet_of: Make) -> None:
    """And what is done ahead of the next query does not, though the node has not yet forgotten this one."""
    async with fleet_of(private_ids=True, a="foresight:Slow") as fleet:
        assert await fleet.rested()
        outcome = await nothing(fleet)
        assert outcome.settlement.trace.messages == 2
        assert [each.amounts for each in outcome.settlement.contributions] == [{"helped": 1.0}]


async def test_who_measures_can_wait_for_it(fleet_of: Make) -> None:
    async with fleet_of(takes=0.5) as fleet:
        assert not await fleet.rested(0.1)
        began_waiting = time.monotonic()
        assert await fleet.rested() and time.monotonic() - began_waiting > 0.2


async def test_a_query_does_not_wait_for_it(fleet_of: Make) -> None:
    async with fleet_of(takes=60) as fleet:
        outcome = await nothing(fleet)
        assert outcome.failure is None and outcome.seconds < 1
        assert outcome.settlement.adopted == (), "it had not been made"


async def test_it_begins_when_the_last_query_is_settled(fleet_of: Make) -> None:
    async with fleet_of() as fleet:
        assert await fleet.rested()
        long = await began(fleet, wish("acts:linger_at", "a", peer="client", token=True))
        made = json.loads((await nothing(fleet)).answer.text)
        assert await fleet.rested(0.3), "another query is in flight"
        assert json.loads((await nothing(fleet)).answer.text) == made
        long.cancel()


@pytest.mark.parametrize(
    ("fails", "told"), [("badly", "ahead failed: ValueError"), ("well", "done ahead: client: not")]
)
async def test_failing_at_it_is_no_querys_failure(fleet_of: Make, fails: str, told: str) -> None:
    async with fleet_of(fails=fails) as fleet:
        assert await fleet.rested()
        assert (await nothing(fleet)).failure is None
        await until(lambda: told in log_of(fleet, "client"))
        assert fails == "well" or "not-told" not in log_of(fleet, "client")


async def test_a_client_that_dies_at_it_is_waited_for_no_longer(fleet_of: Make) -> None:
    async with fleet_of(takes=60) as fleet:
        waiting = asyncio.create_task(fleet.rested(20))
        await asyncio.sleep(0.05)
        os.kill(pid_of(fleet, "client"), signal.SIGKILL)
        assert await asyncio.wait_for(waiting, 2)


async def test_what_a_cancelled_query_adopts_at_last_is_forgotten_too(fleet_of: Make) -> None:
    async with fleet_of(late=True) as fleet:
        assert await fleet.rested()
        task = await began(fleet, wish("acts:linger_at", "a", peer="client", token=True))
        await asyncio.sleep(0.1)
        query = next(iter(fleet._questions.asked))
        fleet.cancel(query)
        outcome = await task
        assert outcome.failure is not None and outcome.failure.kind == "cancelled"
        forgotten = await act(fleet, "acts:forgotten", "a")  # which was told before this query
        assert "ahead1" in forgotten


async def test_a_node_cannot_speak_for_the_client(fleet_of: Make) -> None:
    async with fleet_of() as fleet:
        assert await fleet.rested()
        outcome = await ask(fleet, wish("foresight:forge", "a"))
        assert "another's" not in outcome.settlement.adopted
        assert await fleet.rested(3)


# -- being called again


async def test_it_is_called_again_when_it_said_and_the_fleet_rests_until_then(fleet_of: Make) -> None:
    async with fleet_of(again=[0.6, 0.3]) as fleet:
        assert await fleet.rested(0.4), "the pause before the next turn is nobody's work"
        assert json.loads((await nothing(fleet)).answer.text) == 1
    async with fleet_of(again=[0.3, 0.3]) as fleet:
        await asyncio.sleep(1.2)
        assert json.loads((await nothing(fleet)).answer.text) == 3, "twice more, and no further"


async def test_a_query_ends_the_pause_and_its_end_begins_anew(fleet_of: Make) -> None:
    async with fleet_of(again=[0.5, 60.0, 60.0]) as fleet:
        assert await fleet.rested()
        long = await began(fleet, wish("acts:linger_at", "a", peer="client", token=True))
        await asyncio.sleep(0.7)  # longer than the pause
        assert json.loads((await nothing(fleet)).answer.text) == 1, "not called while a query is in flight"
        long.cancel()


async def test_without_ids_what_nobody_adopts_is_charged_to_no_query(fleet_of: Make) -> None:
    """Such as decoys, which are over before the query that comes next, or between two of them."""
    async with fleet_of(private_ids=True, unused=True, again=[0.2]) as fleet:
        for pause in (0.0, 0.4):
            await asyncio.sleep(pause)
            assert await fleet.rested()
            outcome = await nothing(fleet)
            assert outcome.settlement.trace.messages == 0 and outcome.settlement.adopted == ()
            assert [each.amounts for each in outcome.settlement.contributions] == [{}]
