"""Parties that die, hang, or do not start: who, why, how soon, and what the fleet is good for afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from puppets import plan
from real_fleets import act, alive, ask, began, pid_of, running, state_of, until, wish

from unfed.console.fleet import crew
from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.plugins import Link, Party, UnfedError

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def fleet(launcher: LocalLauncher, tmp_path: Path) -> AsyncIterator[Fleet]:
    """client – a – b"""
    async with running(launcher, plan("a", "b"), tmp_path) as fleet:
        yield fleet


# -- dying


@pytest.mark.parametrize("victim", ["client", "a", "b"])
async def test_a_party_killed_in_the_middle_of_an_answer(fleet: Fleet, victim: str) -> None:
    pids = [state.pid for state in fleet.parties()]
    await act(fleet, "acts:mutter", *{"client": [], "a": ["a"], "b": ["a", "b"]}[victim], words=f"{victim} was here")
    task = await began(fleet, wish("acts:linger_at", "a", peer="b", token=True))
    killed = time.monotonic()
    os.kill(pid_of(fleet, victim), signal.SIGKILL)
    outcome = await asyncio.wait_for(task, 5)
    assert time.monotonic() - killed < 1
    failure = outcome.failure
    assert failure is not None
    assert (failure.kind, failure.party) == ("party-lost", victim)
    assert "was killed by signal 9" in failure.message
    assert f"{victim} was here" in (failure.hint or "") and state_of(fleet, victim).log in (failure.hint or "")
    assert state_of(fleet, victim).health == "lost"
    again = await ask(fleet, wish("acts:nothing"))
    assert again.failure is not None and again.failure.party == victim and again.seconds < 0.1
    await fleet.stop()
    assert alive(pids) == []


async def test_a_party_that_leaves_says_with_which_status(fleet: Fleet) -> None:
    outcome = await ask(fleet, wish("acts:leave", "a", status=3, words="I have had enough"))
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.party) == ("party-lost", "a")
    assert "ended with status 3" in outcome.failure.message and "I have had enough" in (outcome.failure.hint or "")


async def test_sys_exit_in_a_role_is_an_exit(fleet: Fleet) -> None:
    outcome = await ask(fleet, wish("acts:leave_politely", "a", status=4))
    assert outcome.failure is not None and "ended with status 4" in outcome.failure.message


@pytest.mark.parametrize(("number", "health"), [(signal.SIGKILL, "lost"), (signal.SIGSTOP, "hung")])
async def test_a_party_that_computes_no_more_shows_no_cpu(
    launcher: LocalLauncher, tmp_path: Path, number: signal.Signals, health: str
) -> None:
    async with running(launcher, plan("a"), tmp_path) as fleet:
        task = await began(fleet, wish("acts:hog", "a", seconds=20, token=True))
        await until(lambda: state_of(fleet, "a").cpu_percent > 10)
        os.kill(pid_of(fleet, "a"), number)
        await until(lambda: state_of(fleet, "a").health == health)
        assert state_of(fleet, "a").cpu_percent == 0
        task.cancel()


async def test_every_query_in_flight_is_told(fleet: Fleet) -> None:
    tasks = [await began(fleet, wish("acts:linger", token=True)) for _ in range(4)]
    fleet.kill("b")
    for outcome in await asyncio.gather(*tasks):
        assert outcome.failure is not None and outcome.failure.party == "b" and outcome.seconds < 2


async def test_last_words_are_those_of_this_process(launcher: LocalLauncher, tmp_path: Path) -> None:
    """Logs of earlier fleets of the same name lie in the same file."""
    for words in ("first life", None):
        async with running(launcher, plan("a"), tmp_path, variant="again") as fleet:
            if words:
                await act(fleet, "acts:mutter", "a", words=words)
            outcome = await ask(fleet, wish("acts:kill_me", "a", quietly=True))
            assert outcome.failure is not None
            assert ("first life" in (outcome.failure.hint or "")) == bool(words)
    assert "said nothing" in (outcome.failure.hint or "")


# -- hanging


async def test_a_stopped_party_is_named_and_may_go_on(fleet: Fleet) -> None:
    pid = pid_of(fleet, "b")
    task = await began(fleet, wish("acts:linger_at", "a", peer="b", seconds=60, token=True))
    stopped = time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    outcome = await asyncio.wait_for(task, 5)
    assert time.monotonic() - stopped < 4
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.party) == ("party-hung", "b")
    assert f"kill -CONT {pid}" in (outcome.failure.hint or "")
    assert state_of(fleet, "b").health == "hung"
    refused = await ask(fleet, wish("acts:nothing"))
    assert refused.failure is not None and refused.failure.kind == "party-hung"
    os.kill(pid, signal.SIGCONT)
    await until(lambda: state_of(fleet, "b").health == "ready")
    assert await act(fleet, "acts:calls", "a", peer="b", count=2) == [0, 1]


async def test_a_stopped_fleet_is_stopped_all_the_same(fleet: Fleet) -> None:
    pids = [state.pid for state in fleet.parties()]
    os.kill(pid_of(fleet, "a"), signal.SIGSTOP)
    await until(lambda: psutil.Process(pid_of(fleet, "a")).status() == psutil.STATUS_STOPPED)
    began = time.monotonic()
    await fleet.stop()
    assert time.monotonic() - began < 1
    assert alive(pids) == []


@pytest.mark.parametrize("how", ["acts:hold_the_gil", "acts:hog"])
async def test_a_busy_party_is_not_hung(fleet: Fleet, how: str) -> None:
    """Longer than heartbeats may be late: its process runs, so it works."""
    healths: set[str] = set()
    task = asyncio.create_task(ask(fleet, wish(how, "a", seconds=3.5)))
    while not task.done():
        healths.add(state_of(fleet, "a").health)
        await asyncio.sleep(0.1)
    assert (await task).failure is None
    assert healths == {"ready"}


# -- not starting


async def _fails(launcher: LocalLauncher, folder: Path, *nodes: Party, within: float = 5.0) -> Any:
    """Why a fleet with these nodes does not start; nothing of it is left."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    started = time.monotonic()
    with pytest.raises(UnfedError) as raised:
        async with running(launcher, plan(*nodes), folder):
            pass
    assert time.monotonic() - started < within
    left = {child.pid for child in psutil.Process().children(recursive=True)} - before
    assert alive(sorted(left)) == []
    return raised.value.failure


def starts_with(what: str, **args: Any) -> Party:
    return Party("a", "puppets:Puppet", settings={"start": what, "args": args})


async def test_a_role_whose_module_is_missing(launcher: LocalLauncher, tmp_path: Path) -> None:
    failure = await _fails(launcher, tmp_path, Party("a", "no_such_module.at_all:Role"))
    assert (failure.kind, failure.party) == ("unavailable", "a")
    assert "no_such_module" in failure.message and failure.hint == "pip install no_such_module"


async def test_a_role_whose_class_is_missing(launcher: LocalLauncher, tmp_path: Path) -> None:
    failure = await _fails(launcher, tmp_path, Party("a", "puppets:Nobody"))
    assert (failure.kind, failure.party) == ("unavailable", "a") and "Nobody" in failure.message


async def test_a_class_that_is_no_role(launcher: LocalLauncher, tmp_path: Path) -> None:
    failure = await _fails(launcher, tmp_path, Party("a", "puppets:perform"))
    assert failure.party == "a" and "is not a Role" in failure.message


async def test_a_module_that_cannot_be_imported(launcher: LocalLauncher, tmp_path: Path) -> None:
    failure = await _fails(launcher, tmp_path, Party("a", "broken_roles:Anything"))
    assert failure.party == "a" and "ZeroDivisionError at broken_roles.py" in failure.message


async def test_a_signature_that_cannot_be_served(launcher: LocalLauncher, tmp_path: Path) -> None:
    failure = await _fails(launcher, tmp_path, Party("a", "odd_roles:Positional"))
    assert failure.party == "a" and "TypeError" in failure.message


async def test_a_role_that_raises_in_start(launcher: LocalLauncher, tmp_path: Path) -> None:
    failure = await _fails(launcher, tmp_path, starts_with("acts:fail", text="the key is SESAME"))
    assert (failure.kind, failure.party) == ("fleet", "a")
    assert "ValueError at acts.py" in failure.message and "SESAME" not in str(failure)


async def test_a_role_that_refuses_with_a_reason(launcher: LocalLauncher, tmp_path: Path) -> None:
    failure = await _fails(launcher, tmp_path, starts_with("acts:fail_for_people", text="the model has no layers"))
    assert (failure.kind, failure.party, failure.message) == ("bad-input", "a", "the model has no layers")


async def test_a_party_that_exits_at_start(launcher: LocalLauncher, tmp_path: Path) -> None:
    failure = await _fails(launcher, tmp_path, starts_with("acts:leave", status=9, words="no disk left"))
    assert (failure.kind, failure.party) == ("fleet", "a")
    assert "ended with status 9" in failure.message and "no disk left" in failure.hint


async def test_a_party_that_is_killed_at_start(launcher: LocalLauncher, tmp_path: Path) -> None:
    failure = await _fails(launcher, tmp_path, starts_with("acts:kill_me"))
    assert (failure.kind, failure.party) == ("fleet", "a") and "killed by signal 9" in failure.message


async def test_a_party_that_stops_at_start(launcher: LocalLauncher, tmp_path: Path) -> None:
    failure = await _fails(launcher, tmp_path, starts_with("acts:kill_me", number=int(signal.SIGSTOP)))
    assert failure.party == "a" and "is stopped" in failure.message


async def test_steps_of_the_start_are_bounded(
    launcher: LocalLauncher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "READY_WITHIN", 0.5)
    failure = await _fails(launcher, tmp_path, Party("z", "puppets:Puppet"), starts_with("acts:linger"))
    assert (failure.kind, failure.party) == ("fleet", "a") and "did not get ready within 0.5 s" in failure.message


async def test_a_start_that_is_given_up_leaves_nothing(launcher: LocalLauncher, tmp_path: Path) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    for wait in (0.0, 0.02, 0.1, 0.3):
        fleet = Fleet("given-up", "puppets", plan(starts_with("acts:linger")), {}, launcher=launcher, logs=tmp_path)
        starting = asyncio.create_task(fleet.start())
        await asyncio.sleep(wait)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    await until(lambda: not alive([c.pid for c in psutil.Process().children(recursive=True) if c.pid not in before]))


# -- what a party tells its launcher


@pytest.mark.parametrize(
    "data",
    [
        "ffffffff",  # a message of four gigabytes
        "04000000c1c1c1c1",  # no msgpack
        "020000009000",  # no report
        "0d00000081a474797065a6626561742100",  # a report that does not exist
    ],
)
async def test_a_malformed_report_fails_that_party_by_name(fleet: Fleet, data: str) -> None:
    outcome = await ask(fleet, wish("acts:misreport", "a", data=data))
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.party) == ("protocol", "a")
    assert "what is no report" in outcome.failure.message
    assert state_of(fleet, "a").health == "lost"
    await until(lambda: not alive([pid_of(fleet, "a")]))


async def test_nodes_cannot_answer_for_the_client(fleet: Fleet) -> None:
    outcome = await ask(fleet, wish("acts:forge", "a"))
    assert outcome.did == "the true answer"
    assert not [event for event in outcome.events if getattr(event, "text", "") == "forged"]


@pytest.mark.parametrize("what", ["numpy id", "text that is bytes", "no answer", "nonsense", "answer of torch scalars"])
async def test_a_client_that_yields_what_is_no_event(launcher: LocalLauncher, tmp_path: Path, what: str) -> None:
    parties = (Party("client", "odd_roles:OddClient"), Party("a", "puppets:Puppet"))
    async with running(launcher, plan(*parties), tmp_path) as fleet:
        outcome = await ask(fleet, what)
        assert outcome.failure is not None and outcome.failure.party == "client"
        assert outcome.failure.kind in ("role", "internal")
        again = await ask(fleet, "well")
        assert again.answer.text == "well"


# -- time


async def test_a_timeout_ends_the_query_and_nothing_else(fleet: Fleet) -> None:
    other = await began(fleet, wish("acts:wait_for", key="x", token=True))
    outcome = await ask(fleet, wish("acts:linger_at", "a", peer="b"), timeout=0.5)
    assert outcome.failure is not None and outcome.failure.kind == "timeout"
    assert "within 0.5 s" in outcome.failure.message and 0.5 <= outcome.seconds < 1
    assert await act(fleet, "acts:kept", "a", "b", key="cancelled") == [["", outcome.query]]
    await act(fleet, "acts:release", key="x")
    assert (await other).did == "released"


async def test_a_cancelled_query_ends_promptly(fleet: Fleet) -> None:
    task = await began(fleet, wish("acts:linger", token=True))
    began_at = time.monotonic()
    fleet.cancel(next(iter(fleet._questions.asked)))
    outcome = await asyncio.wait_for(task, 2)
    assert outcome.failure is not None and outcome.failure.kind == "cancelled"
    assert time.monotonic() - began_at < 0.5
    assert await act(fleet, "acts:calls", peer="a", count=2) == [0, 1]


async def test_asking_may_be_abandoned(fleet: Fleet) -> None:
    """Whoever iterates goes away: the client is told."""
    task = await began(fleet, wish("acts:linger", token=True))
    query = next(iter(fleet._questions.asked))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert fleet._questions.asked == {}
    for _ in range(100):
        if await act(fleet, "acts:kept", key="cancelled") == [["", query]]:
            break
    else:
        raise AssertionError("the client works on")


async def test_stopping_ends_queries_in_flight(fleet: Fleet) -> None:
    task = await began(fleet, wish("acts:linger", token=True))
    await fleet.stop()
    outcome = await asyncio.wait_for(task, 1)
    assert outcome.failure is not None and outcome.failure.message == "the fleet was stopped"
    after = await ask(fleet, wish("acts:nothing"))
    assert after.failure is not None and after.failure.message == "the fleet was stopped"


# -- many at once


async def test_two_fleets_do_not_disturb_each_other(launcher: LocalLauncher, tmp_path: Path) -> None:
    async with running(launcher, plan("a"), tmp_path) as one, running(launcher, plan("a"), tmp_path) as two:
        task = await began(two, wish("acts:wait_for", "a", key="k", token=True))
        one.kill("a")
        await until(lambda: state_of(one, "a").health == "lost")
        await one.stop()
        await act(two, "acts:release", "a", key="k")
        assert (await task).did == "released"


async def test_nothing_is_left_of_a_fleet(launcher: LocalLauncher, tmp_path: Path) -> None:
    links = (Link("client", "a"), Link("a", "b"))
    parties = (Party("a", "puppets:Puppet", replicas=3), Party("b", "puppets:Puppet"))
    async with running(launcher, plan(*parties, links=links), tmp_path, variant="short-lived") as fleet:
        titles = [process.cmdline() for process in psutil.process_iter() if _of(process, "short-lived")]
        assert len(titles) == 5
        assert len(fleet.parties()) == 5
    assert not [process for process in psutil.process_iter() if _of(process, "short-lived")]


def _of(process: psutil.Process, variant: str) -> bool:
    try:
        return process.cmdline()[:1] != [] and process.cmdline()[0].startswith(f"unfed {variant}/")
    except psutil.Error:
        return False
