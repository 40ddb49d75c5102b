"""Calls and messages between real parties over their real links."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from puppets import plan
from real_fleets import act, ask, began, log_of, running, until, wish

from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.plugins import Failed, Query

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fleet(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """client – a – b"""
    async with running(launcher, plan("a", "b"), tmp_path_factory.mktemp("wire")) as fleet:
        yield fleet


async def test_many_calls_at_once(fleet: Fleet) -> None:
    assert await act(fleet, "acts:calls", peer="a", count=100) == list(range(100))


async def test_messages_to_one_peer_arrive_in_order(fleet: Fleet) -> None:
    async def tell(key: str) -> None:
        await act(fleet, "acts:tells", peer="a", count=300, key=key, wait=True)

    await asyncio.gather(tell("one"), tell("two"))
    for key in ("one", "two"):
        assert await act(fleet, "acts:kept", "a", key=key) == [["client", number] for number in range(300)]


async def test_large_tensors_and_the_sender_may_reuse_its_memory(fleet: Fleet) -> None:
    assert await act(fleet, "acts:large", peer="a", megabytes=64) == {"same": True, "shape": [64 << 18]}


async def test_a_frame_over_the_limit_fails_its_query_alone(fleet: Fleet) -> None:
    outcome = await ask(fleet, wish("acts:large", peer="a", megabytes=257))
    assert outcome.failure is not None and "over the limit" in outcome.failure.message
    assert await act(fleet, "acts:calls", peer="a", count=1) == [0]


@pytest.mark.parametrize("path", [[], ["a"], ["a", "b"]])
async def test_an_error_names_its_party_and_keeps_its_secret(fleet: Fleet, path: list[str]) -> None:
    outcome = await ask(fleet, wish("acts:fail", *path, text="the prompt was XYZZY"))
    failure = outcome.failure
    assert failure is not None
    assert (failure.kind, failure.party) == ("role", (["client", *path])[-1])
    assert "ValueError at acts.py" in failure.message
    for words in (str(failure), *(log_of(fleet, name) for name in ("client", "a", "b"))):
        assert "XYZZY" not in words
    assert "in fail" in log_of(fleet, (["client", *path])[-1])


async def test_an_error_for_people_comes_as_it_is(fleet: Fleet) -> None:
    failure = (await ask(fleet, wish("acts:fail_for_people", "a", "b", text="the prompt is too long"))).failure
    assert failure is not None
    assert (failure.kind, failure.party, failure.message) == ("bad-input", "b", "the prompt is too long")
    assert failure.hint == "try another"


async def test_a_message_that_cannot_be_served_ends_the_query(fleet: Fleet) -> None:
    outcome = await ask(fleet, wish("acts:fail_by_message", peer="a"))
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.party) == ("role", "a")
    assert outcome.seconds < 2


async def test_there_is_no_way_to_a_party_without_a_link(fleet: Fleet) -> None:
    outcome = await ask(fleet, wish("acts:calls", peer="b", count=1))
    assert outcome.failure is not None and outcome.failure.party == "client"
    assert "no link to 'b'" in outcome.failure.message and "a" in (outcome.failure.hint or "")


async def test_a_cancelled_query_is_cancelled_everywhere(fleet: Fleet) -> None:
    task = await began(fleet, wish("acts:linger_at", "a", peer="b", token=True))
    query = next(iter(fleet._questions.asked))
    await until_kept(fleet, "b", "lingering", 1)
    fleet.cancel(query)
    outcome = await asyncio.wait_for(task, 2)
    assert outcome.failure is not None and outcome.failure.kind == "cancelled"
    assert await act(fleet, "acts:kept", "a", "b", key="cancelled") == [["", query]]
    for path in ([], ["a"], ["a", "b"]):
        assert query in await act(fleet, "acts:forgotten", *path)


async def test_what_comes_late_for_an_ended_query_is_dropped(fleet: Fleet) -> None:
    over = await ask(fleet, wish("acts:nothing"))
    await act(fleet, "acts:speak_late", peer="a", query=over.query)
    assert await act(fleet, "acts:calls", peer="a", count=1) == [0]
    assert await act(fleet, "acts:kept", "a", key="late") == []


async def test_an_id_is_used_once(fleet: Fleet) -> None:
    over = await ask(fleet, wish("acts:nothing"))
    (event,) = [event async for event in fleet.ask(Query(id=over.query, prompt=wish("acts:nothing")), 5)]
    assert isinstance(event, Failed) and "used before" in event.error.message


async def until_kept(fleet: Fleet, name: str, key: str, count: int) -> None:
    path = {"a": ["a"], "b": ["a", "b"]}[name]
    for _ in range(200):
        if len(await act(fleet, "acts:kept", *path, key=key)) >= count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{name} never kept {key}")


async def test_eight_queries_at_once_do_not_mix(fleet: Fleet) -> None:
    async def one(number: int) -> None:
        outcome = await ask(fleet, wish("acts:calls", "a", peer="b", count=number + 1))
        assert outcome.did == list(range(number + 1))
        (back_and_forth,) = [
            link for link in outcome.settlement.trace.links if (link.source, link.target) == ("a", "b")
        ]
        assert back_and_forth.messages == number + 1

    await asyncio.gather(*(one(number) for number in range(8)))


async def test_two_dials_at_once_make_one_connection(launcher: LocalLauncher, tmp_path: Path) -> None:
    async with running(launcher, plan("a"), tmp_path) as fleet:
        await ask(fleet, wish("acts:spoil", peer="a", data="00000000"))
        await until(lambda: "refused client" in log_of(fleet, "a"))
        assert await act(fleet, "acts:calls", peer="a", count=50) == list(range(50))
        assert await act(fleet, "acts:connected", "a") == ["client"]
        assert "took its place" not in log_of(fleet, "a")
