"""Emulated links: messages arrive as late as they should, in order, and nobody is held up in sending them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from puppets import plan
from real_fleets import act, ask, running, state_of, until, wish

from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.plugins import Emulation

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

DELAY = 0.02
BANDWIDTH = 10e6
SLACK = 0.02
"""Seconds that a busy machine may add."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def far(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    link = Emulation(delay=DELAY)
    async with running(launcher, plan("a"), tmp_path_factory.mktemp("far"), link=link) as fleet:
        yield fleet


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def thin(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    link = Emulation(bandwidth=BANDWIDTH, burst=65_536)
    async with running(launcher, plan("a"), tmp_path_factory.mktemp("thin"), link=link) as fleet:
        yield fleet


@pytest.mark.parametrize("way", ["call", "channel"])
async def test_a_round_trip_takes_two_delays(far: Fleet, way: str) -> None:
    times = await act(far, "rounds:round_trips", peer="a", way=way, size=1000, count=10)
    assert min(times) >= 2 * DELAY
    assert min(times) < 2 * DELAY + 0.005


@pytest.mark.parametrize("way", ["call", "channel"])
async def test_messages_in_flight_overlap_and_keep_their_order(far: Fleet, way: str) -> None:
    """Fifty at once take one delay, not fifty; the sender is done at once."""
    flight = await act(far, "rounds:volley", peer="a", way=way, size=1000, count=50)
    assert flight["sent"] < DELAY
    assert flight["order"] == list(range(50))
    assert flight["first"] >= DELAY and flight["last"] < DELAY + SLACK


@pytest.mark.parametrize("way", ["call", "channel"])
async def test_a_megabyte_over_ten_megabytes_a_second(thin: Fleet, way: str) -> None:
    """All but the burst waits for its turn: (1 MB - 64 KB) / 10 MB/s."""
    flight = await act(thin, "rounds:volley", peer="a", way=way, size=1_000_000, count=1)
    due = (1_000_000 - 65_536) / BANDWIDTH
    assert flight["sent"] < due / 2
    assert due <= flight["last"] < due + SLACK


@pytest.mark.parametrize("way", ["call", "channel"])
async def test_many_messages_share_the_bandwidth(thin: Fleet, way: str) -> None:
    flight = await act(thin, "rounds:volley", peer="a", way=way, size=100_000, count=20)
    due = (2_000_000 - 65_536) / BANDWIDTH
    assert flight["sent"] < due / 2
    assert flight["order"] == list(range(20))
    assert due <= flight["last"] < due + 2 * SLACK


async def test_calls_and_channels_share_one_link(thin: Fleet) -> None:
    """A megabyte on each at the same time takes as long as two on one."""
    flights = await act(thin, "rounds:two_ways_at_once", peer="a", size=1_000_000)
    due = (2_000_000 - 65_536) / BANDWIDTH
    assert due <= max(flights) < due + 2 * SLACK


async def test_the_latency_that_parties_tell_is_what_was_emulated(far: Fleet) -> None:
    await until(lambda: state_of(far, "client").round_trips)
    assert state_of(far, "client").round_trips["a"] >= 2 * DELAY
    await until(lambda: state_of(far, "client").round_trips["a"] < 2 * DELAY + 0.005, seconds=30)


async def test_receiving_gives_up_in_time_though_the_message_is_on_its_way(far: Fleet) -> None:
    took = await act(far, "rounds:impatient", peer="a")
    assert took["kind"] == "timeout" and took["seconds"] < DELAY
    assert took["then"] == 1


async def test_delays_do_not_count_as_rounds_or_bytes(far: Fleet, launcher: LocalLauncher) -> None:
    outcome = await ask(far, wish("acts:nothing", "a"))
    assert outcome.settlement.trace.rounds == 2 and outcome.settlement.trace.messages == 2
