"""Parties that are replaced: under a new key, with their peers told, and not for ever."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

import pytest
from puppets import plan
from real_fleets import act, alive, ask, began, log_of, pid_of, running, state_of, until, wish

from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.console.fleet.repairs import COMEBACKS
from unfed.plugins import Link, Party

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


def again(name: str, **more: object) -> Party:
    return Party(name, "puppets:Puppet", restart="on-failure", **more)  # type: ignore[arg-type]


def certificate(fleet: Fleet, name: str) -> str:
    return fleet._members[name].hello.result().certificate


async def killed(fleet: Fleet, name: str) -> None:
    """Its process is dead and the fleet knows; it may be back already."""
    pid = pid_of(fleet, name)
    fleet.kill(name)
    await until(lambda: pid_of(fleet, name) != pid or state_of(fleet, name).health != "ready", 2)


async def test_a_party_that_dies_comes_back_under_a_new_key(launcher: LocalLauncher, tmp_path: Path) -> None:
    states: list[tuple[str, str]] = []
    async with running(
        launcher, plan("a", again("b"), "c"), tmp_path, changed=lambda s: states.append((s.name, s.health))
    ) as fleet:
        pid, key, others = pid_of(fleet, "b"), certificate(fleet, "b"), certificate(fleet, "a")
        task = await began(fleet, wish("acts:linger_at", "a", "b", peer="c", token=True))
        os.kill(pid, signal.SIGKILL)
        outcome = await asyncio.wait_for(task, 3)
        assert outcome.failure is not None and (outcome.failure.kind, outcome.failure.party) == ("party-lost", "b")
        # Asked at once: it waits for the new process, and is answered through it.
        assert await act(fleet, "acts:pid", "a", "b") == pid_of(fleet, "b") != pid
        assert await act(fleet, "acts:calls", "a", "b", peer="c", count=2) == [0, 1]
        assert await act(fleet, "rounds:both", "a", peer="b", sizes=[5]) == [5]
        assert certificate(fleet, "b") != key and certificate(fleet, "a") == others
        assert state_of(fleet, "b").restarts == 1 and state_of(fleet, "a").restarts == 0
        assert fleet.broken is None
        healths = [health for name, health in states if name == "b"]
        order = [h for i, h in enumerate(healths) if i == 0 or healths[i - 1] != h]
        assert order == ["starting", "ready", "lost", "restarting", "ready"]


async def test_two_neighbours_that_die_at_once(launcher: LocalLauncher, tmp_path: Path) -> None:
    async with running(launcher, plan("a", again("b"), again("c")), tmp_path) as fleet:
        await asyncio.gather(killed(fleet, "b"), killed(fleet, "c"))
        assert await act(fleet, "acts:calls", "a", "b", peer="c", count=3) == [0, 1, 2]
        assert [state_of(fleet, name).restarts for name in ("a", "b", "c")] == [0, 1, 1]


async def test_again_and_again_works_until_it_is_too_often(launcher: LocalLauncher, tmp_path: Path) -> None:
    async with running(launcher, plan(again("a")), tmp_path) as fleet:
        for number in range(COMEBACKS):
            await killed(fleet, "a")
            assert await act(fleet, "acts:calls", peer="a", count=1) == [0]
            assert state_of(fleet, "a").restarts == number + 1
        fleet.kill("a")
        await until(lambda: fleet.broken is not None)
        outcome = await ask(fleet, wish("acts:nothing"))
        assert outcome.failure is not None and (outcome.failure.kind, outcome.failure.party) == ("party-lost", "a")
        await fleet.restart("a")  # by hand it goes on
        assert await act(fleet, "acts:calls", peer="a", count=1) == [0]


async def test_a_party_that_cannot_start_again(launcher: LocalLauncher, tmp_path: Path) -> None:
    marker = tmp_path / "once"
    party = again("a", settings={"start": "acts:start_once", "args": {"marker": str(marker)}})
    async with running(launcher, plan(party), tmp_path) as fleet:
        fleet.kill("a")
        await until(lambda: fleet.broken is not None, 10)
        outcome = await ask(fleet, wish("acts:nothing"))
        assert outcome.failure is not None and outcome.failure.party == "a"
        assert "ValueError" in outcome.failure.message
        await until(lambda: state_of(fleet, "a").health == "lost", 10)
        await until(lambda: alive([pid_of(fleet, "a")]) == [])


async def test_a_stopped_party_that_may_come_back_is_replaced(launcher: LocalLauncher, tmp_path: Path) -> None:
    async with running(launcher, plan(again("a")), tmp_path) as fleet:
        pid = pid_of(fleet, "a")
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: state_of(fleet, "a").health not in ("ready",), 4)
        assert await act(fleet, "acts:pid", "a") != pid
        assert alive([pid]) == []


async def test_the_client_does_not_come_back(launcher: LocalLauncher, tmp_path: Path) -> None:
    client = Party("client", "puppets:PuppetClient", restart="on-failure")
    async with running(launcher, plan(client, "a"), tmp_path) as fleet:
        fleet.kill("client")
        await until(lambda: fleet.broken is not None)
        assert fleet.broken is not None and fleet.broken.party == "client"


@pytest.mark.parametrize("name", ["client", "a", "b"])
async def test_restarting_by_hand(launcher: LocalLauncher, tmp_path: Path, name: str) -> None:
    async with running(launcher, plan("a", "b"), tmp_path) as fleet:
        pid, key = pid_of(fleet, name), certificate(fleet, name)
        task = await began(fleet, wish("acts:linger_at", "a", peer="b", token=True))
        await fleet.restart(name)
        outcome = await asyncio.wait_for(task, 1)
        assert outcome.failure is not None
        assert (outcome.failure.party, outcome.failure.message) == (name, "it was restarted")
        assert alive([pid]) == [] and certificate(fleet, name) != key
        assert await act(fleet, "acts:calls", "a", peer="b", count=3) == [0, 1, 2]
        assert state_of(fleet, name).restarts == 1 and state_of(fleet, name).health == "ready"


async def test_a_lost_party_is_brought_back_by_hand(launcher: LocalLauncher, tmp_path: Path) -> None:
    async with running(launcher, plan("a"), tmp_path) as fleet:
        fleet.kill("a")
        await until(lambda: fleet.broken is not None)
        await fleet.restart("a")
        assert fleet.broken is None
        assert await act(fleet, "acts:calls", peer="a", count=1) == [0]


async def test_replicas_are_parties_of_their_own(launcher: LocalLauncher, tmp_path: Path) -> None:
    links = (Link("client", "a"), Link("a", "b"))
    async with running(launcher, plan(again("a", replicas=3), "b", links=links), tmp_path) as fleet:
        names = ["a.0", "a.1", "a.2"]
        assert [state.name for state in fleet.parties()] == ["client", *names, "b"]
        pids = [await act(fleet, "acts:pid", name) for name in names]
        assert len(set(pids)) == 3
        for name in names:
            assert await act(fleet, "acts:peers", name) == ["client", "b"]
        assert await act(fleet, "acts:peers", names[0], "b") == names
        await killed(fleet, "a.1")
        assert await act(fleet, "acts:pid", "a.1") not in pids
        assert [await act(fleet, "acts:pid", name) for name in ("a.0", "a.2")] == [pids[0], pids[2]]


async def test_a_question_may_be_cancelled_or_too_late_while_it_waits(launcher: LocalLauncher, tmp_path: Path) -> None:
    slow = again("a", settings={"start": "acts:slow_unless_first", "args": {"marker": str(tmp_path / "once")}})
    async with running(launcher, plan(slow), tmp_path) as fleet:
        await killed(fleet, "a")
        outcome = await ask(fleet, wish("acts:nothing", "a"), timeout=0.3)
        assert outcome.failure is not None and outcome.failure.kind == "timeout"
        task = asyncio.create_task(ask(fleet, wish("acts:nothing", "a")))
        await until(lambda: fleet._questions.asked)
        fleet.cancel(next(iter(fleet._questions.asked)))
        outcome = await asyncio.wait_for(task, 1)
        assert outcome.failure is not None and outcome.failure.kind == "cancelled"
        assert (await ask(fleet, wish("acts:nothing", "a"))).failure is None


async def test_stopping_in_the_middle_of_a_replacement(launcher: LocalLauncher, tmp_path: Path) -> None:
    slow = again("a", settings={"start": "acts:slow_unless_first", "args": {"marker": str(tmp_path / "once")}})
    async with running(launcher, plan(slow), tmp_path) as fleet:
        await killed(fleet, "a")
        stopping = time.monotonic()
        await fleet.stop()
        assert time.monotonic() - stopping < 3
        assert alive([state.pid for state in fleet.parties()]) == []


async def test_peers_refuse_the_old_key(launcher: LocalLauncher, tmp_path: Path) -> None:
    """The old process of b is stopped instead of killed, and wakes when its place is taken."""
    async with running(launcher, plan("a", "b"), tmp_path) as fleet:
        old = fleet._members["b"]
        old.process.kill = lambda: None  # type: ignore[method-assign]
        old.process.wait = lambda: asyncio.sleep(0, 0)  # type: ignore[assignment,method-assign]
        os.kill(old.process.pid, signal.SIGSTOP)
        await fleet.restart("b")
        assert "refused b: its process is gone" in log_of(fleet, "a")
        os.kill(old.process.pid, signal.SIGCONT)
        assert await act(fleet, "acts:calls", "a", peer="b", count=2) == [0, 1]
        assert pid_of(fleet, "b") != old.process.pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(old.process.pid, signal.SIGKILL)
