"""Blocking channels between real parties: full duplex at any size, and prompt ends."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from puppets import plan
from real_fleets import act, ask, began, log_of, pid_of, running, until, wish

from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.plugins import Link

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

SIZES = [0, 1, 1000, 16_384, 65_500, 65_536, 1 << 20, 5_000_001, 0, 7]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fleet(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """client – a – b"""
    async with running(launcher, plan("a", "b"), tmp_path_factory.mktemp("channel")) as fleet:
        yield fleet


@pytest.mark.parametrize("way", ["exchange", "send first"])
async def test_both_ways_at_once_at_any_size(fleet: Fleet, way: str) -> None:
    assert await act(fleet, "rounds:both", "a", peer="b", sizes=SIZES, way=way) == SIZES


@pytest.mark.parametrize("way", ["exchange", "send first"])
async def test_thirty_two_megabytes_both_ways_at_once(fleet: Fleet, way: str) -> None:
    assert await act(fleet, "rounds:both", "a", peer="b", sizes=[32 << 20], way=way) == [32 << 20]


async def test_both_ends_may_be_the_one_who_begins(fleet: Fleet) -> None:
    """a dials b, whoever asks first."""
    assert await act(fleet, "rounds:both", "a", "b", peer="a", sizes=[10, 20]) == [10, 20]


async def test_channels_for_several_purposes_and_queries_at_once(fleet: Fleet) -> None:
    outcomes = await asyncio.gather(
        *(act(fleet, "rounds:both", "a", peer="b", sizes=[n, n + 1], purpose=f"purpose {n}") for n in range(6))
    )
    assert outcomes == [[n, n + 1] for n in range(6)]


async def test_one_round_trip_is_two_rounds_and_an_exchange_is_one(fleet: Fleet) -> None:
    """The query goes client → a, and its answer back. Four exchanges begin once b has been called, and its reply comes
    after them; four pings and pongs begin beside that call, and outlast it."""
    for way, rounds in (("exchanges", 1 + 1 + 4 + 1 + 1), ("ping-pong", 1 + 8 + 1)):
        outcome = await ask(fleet, wish("rounds:counted", "a", peer="b", way=way))
        bytes_ = outcome.did
        assert outcome.settlement.trace.rounds == rounds, way
        links = {(link.source, link.target): link for link in outcome.settlement.trace.links}
        # Four messages each way on the channel, a call from a to b with its reply, and the opening by a.
        assert links["a", "b"].messages == 4 + 1 + 1
        assert links["b", "a"].messages == 4 + 1
        assert links["a", "b"].bytes == bytes_["a"] and links["b", "a"].bytes == bytes_["b"]


async def test_receiving_ends_in_time_and_can_be_tried_again(fleet: Fleet) -> None:
    took = await act(fleet, "rounds:late", "a", peer="b")
    assert took["kind"] == "timeout" and took["party"] == "b"
    assert 0.2 <= took["seconds"] < 0.5
    assert took["then"] == 5


async def test_a_message_that_breaks_off_ends_the_channel(fleet: Fleet) -> None:
    """The peer takes nothing: `exchange` gives up half-way, and nothing may follow half a message."""
    failed = await act(fleet, "rounds:broken_off", "a", peer="b")
    assert [each["party"] for each in failed] == ["b", "b"]
    assert failed[0]["message"] == failed[1]["message"] == "it did not take a message in time"


async def test_closing_wakes_the_thread_that_waits(fleet: Fleet) -> None:
    took = await act(fleet, "rounds:closed_by_us", "a", peer="b")
    assert took["kind"] == "cancelled" and took["seconds"] < 0.5
    took = await act(fleet, "rounds:closed_by_peer", "a", peer="b")
    assert (took["kind"], took["party"]) == ("party-lost", "b") and took["seconds"] < 0.5


async def test_two_threads_at_once_are_told(fleet: Fleet) -> None:
    assert (await act(fleet, "rounds:shared", "a", peer="b"))["message"].startswith("two threads use")


async def test_a_channel_nobody_opens(fleet: Fleet) -> None:
    took = await act(fleet, "rounds:never_opened", "a", "b", peer="a")
    assert (took["kind"], took["party"]) == ("timeout", "a")


async def test_no_channel_without_a_link(fleet: Fleet) -> None:
    outcome = await ask(fleet, wish("rounds:plain_open", peer="b"))
    assert outcome.failure is not None and "no link to 'b'" in outcome.failure.message


async def test_what_a_failed_query_left_at_the_door_is_not_given_to_the_next(fleet: Fleet) -> None:
    await act(fleet, "rounds:open_and_leave", "a", peer="b", close=True)
    await act(fleet, "rounds:open_and_leave", "a", peer="b", close=False)
    assert await act(fleet, "rounds:both", "a", peer="b", sizes=[3, 4]) == [3, 4]


async def test_what_was_left_at_the_door_is_not_kept_where_messages_bear_no_ids(
    launcher: LocalLauncher, tmp_path: Path
) -> None:
    """Whether the peer had said something before it left or not; what it has not left is kept."""
    async with running(launcher, plan("a", "b", private_ids=True), tmp_path) as fleet:
        for say, close in ((False, True), (True, True), (False, False)):
            await act(fleet, "rounds:open_and_leave", "a", peer="b", close=close, say=say)
        assert await act(fleet, "rounds:untaken", "a", "b") == 1


async def test_a_channel_is_not_awaited_from_whoever_takes_the_peers_place(
    launcher: LocalLauncher, tmp_path: Path
) -> None:
    async with running(launcher, plan("a", "b"), tmp_path) as fleet:
        took = await act(fleet, "rounds:awaits_its_fresh_namesake", "a", "b", peer="a")
        assert (took["kind"], took["party"]) == ("party-lost", "a") and took["seconds"] < 1


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("replayed", "message 1 of 'rounds' where 2 of 'rounds' was due"),
        ("skipped", "message 3 of 'rounds' where 2 of 'rounds' was due"),
        ("other purpose", "message 2 of 'else' where 2 of 'rounds' was due"),
        ("a call", "message 2 of 'rounds' where 2 of 'rounds' was due"),
        ("garbage", "not a header"),
        ("oversized", "announced"),
    ],
)
async def test_frames_that_do_not_belong(fleet: Fleet, what: str, reason: str) -> None:
    took = await act(fleet, "rounds:deceived", "a", peer="b", what=what)
    assert (took["kind"], took["party"]) == ("protocol", "b")
    assert reason in took["message"]
    assert reason in log_of(fleet, "a")
    assert await act(fleet, "rounds:both", "a", peer="b", sizes=[3]) == [3]


@pytest.mark.parametrize("what", ["not an opening", "too long", "garbage", "half"])
async def test_openings_that_are_none(fleet: Fleet, what: str) -> None:
    before = log_of(fleet, "b").count("refused a channel of a")
    await act(fleet, "rounds:bad_opening", "a", peer="b", what=what)
    assert await act(fleet, "rounds:both", "a", peer="b", sizes=[3]) == [3]
    assert log_of(fleet, "b").count("refused a channel of a") == before + 1


async def test_a_peer_that_dies_wakes_the_thread_that_waits(launcher: LocalLauncher, tmp_path: Path) -> None:
    links = (Link("client", "a"), Link("a", "b"))
    async with running(launcher, plan("a", "b", links=links), tmp_path) as fleet:
        task = await began(fleet, wish("rounds:wait_for_the_dead", "a", peer="b", token=True))
        await act(fleet, "acts:wait_for", "a", key="waiting")
        killed = time.monotonic()
        os.kill(pid_of(fleet, "b"), signal.SIGKILL)
        outcome = await asyncio.wait_for(task, 2)
        assert outcome.failure is not None and (outcome.failure.kind, outcome.failure.party) == ("party-lost", "b")
        await until(lambda: "woken at" in log_of(fleet, "a"))
        (line,) = [line for line in log_of(fleet, "a").splitlines() if "woken at" in line]
        assert line.endswith("by party-lost b")
        assert float(line.split()[2]) - killed < 1
