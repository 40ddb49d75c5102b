"""Echoes: what a link takes is measured, and nothing else knows of it."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from puppets import plan
from real_fleets import ask, log_of, running, state_of, until, wish

from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.console.party import control, echo, frames
from unfed.console.party.control import BEAT, Beat
from unfed.console.party.echo import LAST, Echo
from unfed.console.party.frames import ECHO, ECHOED, Frame, Header
from unfed.plugins import Emulation, Party

slow = pytest.mark.slow
in_session = pytest.mark.asyncio(loop_scope="session")


class Clock:
    """The monotonic clock, which goes on where a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(echo.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def frame(header: Header | None) -> Frame:
    assert header is not None
    return frames.decode(b"".join(frames.encode(header))[frames.LENGTH :])


def test_there_and_back(clock: Clock) -> None:
    here, there = Echo(asks=True), Echo(asks=False)
    assert here.round_trip is None and there.ask(0.0) is None, "who was dialled does not ask"
    sent = here.ask(7.0)
    assert here.ask(7.0) is None, "one at a time"
    clock.now += 0.25
    back = there.take(frame(sent), 8.0)
    assert back == Header(ECHOED, frame(sent).header.id, sent=8.0)
    assert here.take(frame(back), 0.0) is None
    assert here.round_trip == 0.25 and there.round_trip is None
    assert here.ask(9.0) is not None


def test_it_is_the_least_of_the_last_few(clock: Clock) -> None:
    here, there = Echo(asks=True), Echo(asks=False)

    def trip(seconds: float) -> None:
        sent = here.ask(0.0)
        clock.now += seconds
        here.take(frame(there.take(frame(sent), 0.0)), 0.0)
        clock.now += BEAT

    for seconds in (0.5, 0.25, 4.0, 2.0):
        trip(seconds)
    assert here.round_trip == 0.25
    for _ in range(LAST):
        trip(1.0)
    assert here.round_trip == 1.0, "what was is forgotten"


def test_all_take_as_many_bytes_and_none_comes_twice() -> None:
    numbers, sizes = set(), set()
    for sent in [0.0, 1.0, 12_345_678.9] * 200:
        header = Echo(asks=True).ask(sent)
        answer = Echo(asks=False).take(frame(header), sent)
        sizes |= {frame(header).size, frame(answer).size}
        numbers.add(frame(header).header.id)
    assert sizes == {34} and len(numbers) == 600


ASKED, UNASKED = Header(ECHO, 5), Header(ECHOED, 5)


@pytest.mark.parametrize(
    ("asks", "header", "reason"),
    [
        (True, UNASKED, "it was not asked"),
        (False, UNASKED, "it was not asked"),
        (True, ASKED, "not its to ask over"),
        (False, Header(ECHO, 5, "method"), "more than a number"),
        (False, Header(ECHO, 5, query="q"), "more than a number"),
        (False, Header(ECHO, 5, depth=1), "more than a number"),
        (False, Header(ECHO, 5, fields={"a": 1}), "more than a number"),
        (False, Header(ECHO, 5, failure=None, arrays=(("a", "int8", (0,)),)), "more than a number"),
    ],
)
def test_what_should_not_come(asks: bool, header: Header, reason: str) -> None:
    arrived = frames.decode(b"".join(frames.encode(header, [memoryview(b"")] * len(header.arrays)))[frames.LENGTH :])
    one = Echo(asks=asks)
    with pytest.raises(ValueError, match=reason):
        one.take(arrived, 0.0)
    assert one.round_trip is None


def test_an_answer_that_is_another_ones_or_comes_twice(clock: Clock) -> None:
    here = Echo(asks=True)
    number = frame(here.ask(0.0)).header.id
    with pytest.raises(ValueError, match="it was not asked"):
        here.take(frame(Header(ECHOED, number - 1)), 0.0)
    here.take(frame(Header(ECHOED, number)), 0.0)
    with pytest.raises(ValueError, match="it was not asked"):
        here.take(frame(Header(ECHOED, number)), 0.0)


def test_a_flood_is_refused(clock: Clock) -> None:
    there = Echo(asks=False)
    for _ in range(LAST):
        assert there.take(frame(ASKED), 0.0) is not None
    with pytest.raises(ValueError, match="more than 8 echoes within 2 s"):
        there.take(frame(ASKED), 0.0)


@given(st.lists(st.sampled_from([0.0, 0.01, 0.3, BEAT, 2.0, 30.0]), min_size=20, max_size=60))
@settings(deadline=None)
def test_who_asks_once_a_heartbeat_is_never_refused(stalls: list[float]) -> None:
    """However long either side computes in between: the next one waits for the answer."""
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock(patch)
        here, there = Echo(asks=True), Echo(asks=False)
        at = clock.now
        for stall in stalls:
            sent = here.ask(0.0)
            clock.now = at + stall
            here.take(frame(there.take(frame(sent), 0.0)), 0.0)
            at = clock.now = max(at + BEAT, clock.now)  # the timer came meanwhile, and found one that was out


@given(st.binary(max_size=40), st.booleans(), st.integers(0, 40))
@settings(max_examples=1000, deadline=None)
def test_mutated_echoes_are_answered_or_refused(data: bytes, asks: bool, at: int) -> None:
    mutant = b"".join(frames.encode(Header(ECHO, 1 << 47)))
    mutant = mutant[:at] + data + mutant[at + len(data) :]
    one = Echo(asks=asks)
    with contextlib.suppress(ValueError):
        answer = one.take(frames.decode(bytearray(mutant[frames.LENGTH :])), 0.0)
        assert not asks and answer is not None and len(b"".join(frames.encode(answer))) <= 34
    assert one.round_trip is None


def test_a_heartbeat_of_a_party_that_knows_no_echoes_is_understood() -> None:
    old = {"type": "beat", "cpu_seconds": 1.0, "cpu_percent": 0.0, "rss_bytes": 1, "pss_bytes": 1, "bytes_in": 0}
    old |= {"bytes_out": 0, "messages_in": 0, "messages_out": 0}
    for beat in (
        control.decode_report_line(msgspec.json.encode(old)),
        control.decode_report(msgspec.msgpack.encode(old)),
    ):
        assert isinstance(beat, Beat) and beat.round_trips == {}


# -- between real parties


def trips(fleet: Fleet) -> dict[str, dict[str, float]]:
    return {state.name: state.round_trips for state in fleet.parties()}


@slow
@in_session
@pytest.mark.parametrize("private_ids", [True, False])
async def test_echoes_are_counted_recorded_and_waited_for_nowhere(
    launcher: LocalLauncher, tmp_path: Path, private_ids: bool
) -> None:
    parties = plan("a", "b", private_ids=private_ids)
    async with running(launcher, parties, tmp_path, views=tmp_path / "views") as fleet:
        await until(lambda: trips(fleet)["client"].keys() == {"a"} and trips(fleet)["a"].keys() == {"b"})
        await asyncio.sleep(2 * BEAT)  # there were some more of them
        assert trips(fleet)["b"] == {}, "each link is measured from one end"
        assert all(0 < trip < 5 for each in trips(fleet).values() for trip in each.values())
        counts = [await member.count() for member in fleet._members.values()]
        assert {(each.sent, each.received, each.busy) for each in counts if each} == {(0, 0, False)}
        for told in fleet.parties():
            assert told.messages_in == told.messages_out == told.bytes_in == told.bytes_out == 0
        outcome = await ask(fleet, wish("acts:nothing", "a", "b"))
        trace = outcome.settlement.trace
        assert (trace.messages, trace.rounds) == (4, 4)
        assert {view.party: entries for view, entries, _ in outcome.settlement.views} == {"client": 1, "a": 2, "b": 1}
        for view, _, _ in outcome.settlement.views:
            assert {entry.name for entry in view} == {"act"}
        assert not any("refused" in log_of(fleet, name) for name in ("client", "a", "b"))


@slow
@in_session
async def test_links_are_measured_before_roles_have_started(launcher: LocalLauncher, tmp_path: Path) -> None:
    late = Party("a", "puppets:Puppet", settings={"start": "acts:linger", "args": {"seconds": 3.0}})
    fleet = Fleet("late", "puppets", plan(late), {}, launcher=launcher, logs=tmp_path)
    starting = asyncio.create_task(fleet.start())
    try:
        await until(lambda: fleet._members and trips(fleet).get("client"))
        assert not fleet._members["a"].is_ready and not starting.done()
        await starting
        assert (state_of(fleet, "a").messages_in, state_of(fleet, "a").messages_out) == (0, 0)
    finally:
        await asyncio.wait({starting})
        await fleet.stop()
    assert trips(fleet) == {"client": {}, "a": {}}, "a fleet that has stopped has no links"


@slow
@in_session
async def test_a_link_that_is_gone_has_no_latency(launcher: LocalLauncher, tmp_path: Path) -> None:
    again = Party("b", "puppets:Puppet", restart="on-failure")
    async with running(launcher, plan("a", again), tmp_path) as fleet:
        await until(lambda: trips(fleet)["a"])
        before = state_of(fleet, "b").pid
        fleet.kill("b")
        await until(lambda: not trips(fleet)["a"])
        await until(lambda: state_of(fleet, "b").pid != before and trips(fleet)["a"])


@slow
@in_session
async def test_echoes_take_their_turn_on_a_thin_link(launcher: LocalLauncher, tmp_path: Path) -> None:
    """34 bytes each way at 500 bytes a second: all but the burst of each waits."""
    link = Emulation(bandwidth=500, burst=4)
    async with running(launcher, plan("a"), tmp_path, link=link) as fleet:
        await until(lambda: trips(fleet)["client"])
        assert trips(fleet)["client"]["a"] >= 2 * 30 / 500
