"""Parties whose loss queries survive: the client is told, those who live go on, and others still fail what is asked."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from puppets import plan
from real_fleets import Outcome, act, alive, ask, began, pid_of, running, state_of, until, wish

from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.console.fleet.repairs import COMEBACKS
from unfed.plugins import Link, Note, Party, Plan, Route, UnfedError

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

KILL, STOP = signal.SIGKILL, signal.SIGSTOP


def spare(name: str, **more: Any) -> Party:
    return Party(name, "puppets:Puppet", survivable=True, **({"restart": "on-failure"} | more))


def slow(folder: Path) -> dict[str, Any]:
    """Settings of a party that takes its time to start, but for the first time."""
    return {"start": "acts:slow_unless_first", "args": {"marker": str(folder / "once")}}


def around(d: Party, **more: Any) -> Plan:
    """client – a – b – c, each of whom is linked to `d`, which stands between a and b in the plan."""
    chain = [Link("client", "a"), Link("a", "b"), Link("b", "c")]
    return plan("a", d, "b", "c", links=(*chain, *(Link(each, d.name) for each in ("client", "a", "b", "c"))), **more)


@pytest_asyncio.fixture(loop_scope="session")
async def fleet(launcher: LocalLauncher, tmp_path: Path) -> AsyncIterator[Fleet]:
    """`around` a d that comes back."""
    async with running(launcher, around(spare("d")), tmp_path) as fleet:
        yield fleet


async def going(fleet: Fleet, key: str = "k") -> asyncio.Task[Outcome]:
    """A query that has messages sent between client, a, b and c all the time, until `key` is released."""
    task = await began(fleet, wish("acts:go_on", token=True, key=key, path=["a", "b"], peer="c"), timeout=60)
    return task


async def ended(fleet: Fleet, task: asyncio.Task[Outcome], key: str = "k") -> Outcome:
    await act(fleet, "acts:release", key=key)
    return await asyncio.wait_for(task, 5)


async def told(fleet: Fleet) -> list[tuple[str, str]]:
    return [(what, party) for what, party, *_ in await act(fleet, "acts:losses")]


async def back(fleet: Fleet, name: str, restarts: int = 1, within: float = 10) -> None:
    await until(lambda: (state_of(fleet, name).restarts, state_of(fleet, name).health) == (restarts, "ready"), within)


@pytest.mark.parametrize("number", [KILL, STOP])
@pytest.mark.parametrize("private_ids", [False, True])
async def test_a_query_goes_on_while_another_party_is_replaced(
    launcher: LocalLauncher, tmp_path: Path, number: signal.Signals, private_ids: bool
) -> None:
    async with running(launcher, around(spare("d"), private_ids=private_ids), tmp_path) as fleet:
        paths: list[list[str]] = [[], ["a"], ["a", "b"], ["a", "b", "c"]]
        links = [await act(fleet, "acts:linked_since", *path) for path in paths]
        pid, task = pid_of(fleet, "d"), await going(fleet)
        sizes = [100] * 3000
        rounds = await began(fleet, wish("rounds:both", "a", token=True, peer="b", sizes=sizes))
        os.kill(pid, number)
        await back(fleet, "d")
        assert (await asyncio.wait_for(rounds, 20)).did == sizes
        outcome = await ended(fleet, task)
        assert outcome.did["failed"] == [] and outcome.did["answered"] > 20 and outcome.did["slowest"] < 1
        lost, returned = await act(fleet, "acts:losses")
        assert lost[:3] == ["lost", "d", "party-lost" if number == KILL else "party-hung"]
        assert returned[:2] == ["returned", "d"]
        assert returned[2] == fleet._members["d"].hello.result().certificate
        assert alive([pid]) == [] and fleet.broken is None
        for path, before in zip(paths, links, strict=True):
            after = await act(fleet, "acts:linked_since", *path)
            assert after.keys() == before.keys()
            assert [name for name in before if after[name] != before[name]] == ["d"]
        assert await act(fleet, "acts:pid", "a", "d") == pid_of(fleet, "d")


async def test_a_loss_is_told_at_once(fleet: Fleet) -> None:
    task = await going(fleet)
    killed = time.monotonic()
    os.kill(pid_of(fleet, "d"), KILL)
    await back(fleet, "d")
    assert (await ended(fleet, task)).failure is None
    (*_, lost_at), (*_, returned_at) = await act(fleet, "acts:losses")
    assert lost_at - killed < 0.5 and lost_at < returned_at < killed + 5


@pytest.mark.parametrize("way", ["call", "send", "channel"])
async def test_nobody_waits_for_the_lost(launcher: LocalLauncher, tmp_path: Path, way: str) -> None:
    """a dials d, and c is dialled by it: neither waits for what does not come."""
    async with running(launcher, around(spare("d", restart="never")), tmp_path) as fleet:
        os.kill(pid_of(fleet, "d"), KILL)
        await until(lambda: state_of(fleet, "d").health == "lost")
        for path in (["a"], ["a", "b", "c"]):
            failed = await act(fleet, "acts:fails_to_reach", *path, peer="d", way=way)
            assert (failed["kind"], failed["party"]) == ("party-lost", "d") and failed["seconds"] < 0.5


async def test_whoever_waits_already_is_told(launcher: LocalLauncher, tmp_path: Path) -> None:
    """Of a channel that d, which dials c, has not opened and never will."""
    async with running(launcher, around(spare("d")), tmp_path) as fleet:
        waiting = await began(fleet, wish("acts:fails_to_reach", "a", "b", "c", token=True, peer="d", way="channel"))
        await asyncio.sleep(0.2)
        os.kill(pid_of(fleet, "d"), KILL)
        outcome = await asyncio.wait_for(waiting, 3)
        assert (outcome.did["kind"], outcome.did["party"]) == ("party-lost", "d")


async def test_new_queries_need_not_wait(launcher: LocalLauncher, tmp_path: Path) -> None:
    async with running(launcher, around(spare("d", settings=slow(tmp_path))), tmp_path) as fleet:
        os.kill(pid_of(fleet, "d"), KILL)
        await until(lambda: state_of(fleet, "d").health == "restarting")
        assert fleet.unfit() is None
        outcome = await ask(fleet, wish("acts:calls", "a", "b", peer="c", count=1))
        assert outcome.did == [0] and outcome.seconds < 1
        assert state_of(fleet, "d").health == "restarting"


# -- what peers say


@pytest.mark.parametrize("private_ids", [False, True])
@pytest.mark.parametrize(
    ("kind", "party", "fails"),
    [
        ("party-lost", "d", False),
        ("party-hung", "d", False),
        ("protocol", "d", True),
        ("role", "d", True),
        ("party-lost", "b", True),
        ("party-lost", "nobody", True),
    ],
)
async def test_a_party_that_fails_for_the_lack_of_one(
    launcher: LocalLauncher, tmp_path: Path, private_ids: bool, kind: str, party: str, fails: bool
) -> None:
    """It may say so before the supervisor knows: d lives yet as far as that has heard."""
    async with running(launcher, around(spare("d"), private_ids=private_ids), tmp_path) as fleet:
        args = {"kind": kind, "party": party}
        prompt = wish("acts:send_and_wait", token=True, peer="a", what="acts:blame", args=args, key="k")
        task = await began(fleet, prompt)
        done, _ = await asyncio.wait({task}, timeout=1)
        assert bool(done) == fails
        outcome = await (task if fails else ended(fleet, task))
        assert (outcome.failure is not None) == fails
        if outcome.failure is not None:
            assert (outcome.failure.kind, outcome.failure.party) == (kind, party)


async def test_a_handler_whose_peer_dies_under_it(fleet: Fleet) -> None:
    prompt = wish("acts:send_and_wait", token=True, peer="a", what="acts:linger_at", args={"peer": "d"}, key="k")
    task = await began(fleet, prompt)
    await asyncio.sleep(0.2)
    os.kill(pid_of(fleet, "d"), KILL)
    await back(fleet, "d")
    assert (await ended(fleet, task)).did == "released"


# -- again, together, and for good


@pytest.mark.parametrize("number", [KILL, STOP])
async def test_one_that_is_struck_again_while_it_is_replaced(
    launcher: LocalLauncher, tmp_path: Path, number: signal.Signals
) -> None:
    async with running(launcher, around(spare("d", settings=slow(tmp_path))), tmp_path) as fleet:
        first, task = pid_of(fleet, "d"), await going(fleet)
        os.kill(first, KILL)
        await until(lambda: pid_of(fleet, "d") != first)
        await asyncio.sleep(0.5)
        assert state_of(fleet, "d").health == "restarting"
        os.kill(pid_of(fleet, "d"), number)
        await back(fleet, "d", restarts=2, within=15)
        outcome = await ended(fleet, task)
        assert outcome.did["failed"] == [] and outcome.did["slowest"] < 1
        assert await told(fleet) == [("lost", "d"), ("returned", "d")]
        assert fleet.broken is None and await act(fleet, "acts:pid", "d") == pid_of(fleet, "d")


async def test_again_and_again_until_it_is_too_often(fleet: Fleet) -> None:
    task = await going(fleet)
    for number in range(COMEBACKS):
        os.kill(pid_of(fleet, "d"), KILL)
        await back(fleet, "d", restarts=number + 1)
    os.kill(pid_of(fleet, "d"), KILL)
    await until(lambda: state_of(fleet, "d").health == "lost")
    await asyncio.sleep(0.5)
    assert state_of(fleet, "d").health == "lost" and fleet.broken is None and fleet.unfit() is None
    outcome = await ended(fleet, task)
    assert outcome.did["failed"] == []
    assert await told(fleet) == [("lost", "d"), ("returned", "d")] * COMEBACKS + [("lost", "d")]
    await fleet.restart("d")  # by hand it goes on
    assert (await told(fleet))[-1] == ("returned", "d")
    assert await act(fleet, "acts:pid", "a", "d") == pid_of(fleet, "d")


async def test_replicas_that_die_at_once(launcher: LocalLauncher, tmp_path: Path) -> None:
    async with running(launcher, around(spare("d", replicas=3)), tmp_path) as fleet:
        task = await going(fleet)
        for name in ("d.0", "d.2"):
            os.kill(pid_of(fleet, name), KILL)
        for name in ("d.0", "d.2"):
            await back(fleet, name)
        assert (await ended(fleet, task)).did["failed"] == []
        assert sorted(await told(fleet)) == [("lost", "d.0"), ("lost", "d.2"), ("returned", "d.0"), ("returned", "d.2")]
        assert state_of(fleet, "d.1").restarts == 0
        for name in ("d.0", "d.1", "d.2"):
            assert await act(fleet, "acts:pid", "a", name) == pid_of(fleet, name)


@pytest.mark.parametrize("number", [KILL, STOP])
async def test_one_that_does_not_come_back(launcher: LocalLauncher, tmp_path: Path, number: signal.Signals) -> None:
    """It stays lost, and is ended where it was stopped; nothing that is asked fails."""
    async with running(launcher, around(spare("d", restart="never")), tmp_path) as fleet:
        pid, task = pid_of(fleet, "d"), await going(fleet)
        os.kill(pid, number)
        await until(lambda: state_of(fleet, "d").health == "lost")
        await until(lambda: alive([pid]) == [])
        assert (await ended(fleet, task)).did["failed"] == []
        assert fleet.broken is None and fleet.unfit() is None
        assert await told(fleet) == [("lost", "d")]
        await fleet.restart("client")  # a fresh one is told
        assert await told(fleet) == [("lost", "d")]
        await fleet.restart("b")  # whose roster lacks d
        assert await act(fleet, "acts:peers", "a", "b") == ["a", "d", "c"]
        failed = await act(fleet, "acts:fails_to_reach", "a", "b", peer="d", way="call")
        assert (failed["kind"], failed["party"]) == ("party-lost", "d") and failed["seconds"] < 0.5
        await fleet.restart("d")
        assert await told(fleet) == [("lost", "d"), ("returned", "d")]
        assert await act(fleet, "acts:calls", "a", "b", peer="d", count=1) == [0]


async def test_one_that_cannot_start_again(launcher: LocalLauncher, tmp_path: Path) -> None:
    settings = {"start": "acts:start_once", "args": {"marker": str(tmp_path / "once")}}
    async with running(launcher, around(spare("d", settings=settings)), tmp_path) as fleet:
        task = await going(fleet)
        os.kill(pid_of(fleet, "d"), KILL)
        await until(lambda: state_of(fleet, "d").restarts == COMEBACKS and state_of(fleet, "d").health == "lost", 20)
        assert "ValueError" in state_of(fleet, "d").note
        assert (await ended(fleet, task)).did["failed"] == []
        assert fleet.broken is None and await told(fleet) == [("lost", "d")]
        with pytest.raises(UnfedError, match=r"did not start again.*ValueError"):
            await fleet.restart("d")
        assert await act(fleet, "acts:calls", "a", peer="b", count=1) == [0]


async def test_it_waits_for_no_other_and_holds_up_none(launcher: LocalLauncher, tmp_path: Path) -> None:
    """b, which queries cannot do without, dies along with d: what is in flight fails, and both come back."""
    needed = Party("b", "puppets:Puppet", restart="on-failure")
    links = (Link("client", "a"), Link("a", "b"), Link("client", "d"), Link("a", "d"))
    async with running(launcher, plan("a", spare("d"), needed, links=links), tmp_path) as fleet:
        task = await began(fleet, wish("acts:linger", "a", token=True))
        os.kill(pid_of(fleet, "d"), KILL)
        os.kill(pid_of(fleet, "b"), KILL)
        outcome = await asyncio.wait_for(task, 3)
        assert outcome.failure is not None and (outcome.failure.kind, outcome.failure.party) == ("party-lost", "b")
        assert await act(fleet, "acts:pid", "a", "b") == pid_of(fleet, "b")
        await back(fleet, "d")
        assert await told(fleet) == [("lost", "d"), ("returned", "d")]


async def test_one_that_nobody_can_do_without_still_fails_queries(launcher: LocalLauncher, tmp_path: Path) -> None:
    async with running(launcher, around(Party("d", "puppets:Puppet", restart="on-failure")), tmp_path) as fleet:
        task = await going(fleet)
        os.kill(pid_of(fleet, "d"), KILL)
        outcome = await asyncio.wait_for(task, 3)
        assert outcome.failure is not None and (outcome.failure.kind, outcome.failure.party) == ("party-lost", "d")
        assert await told(fleet) == []


async def test_one_that_is_lost_for_good_does_not_keep_another_from_returning(
    launcher: LocalLauncher, tmp_path: Path
) -> None:
    """e is stopped when it should be introduced to the new d, and then given up."""
    links = (Link("client", "d"), Link("client", "e"), Link("d", "e"))
    async with running(launcher, plan(spare("d"), spare("e", restart="never"), links=links), tmp_path) as fleet:
        os.kill(pid_of(fleet, "e"), STOP)
        os.kill(pid_of(fleet, "d"), KILL)
        await back(fleet, "d")
        assert state_of(fleet, "e").health == "lost" and fleet.broken is None
        assert await told(fleet) == [("lost", "d"), ("lost", "e"), ("returned", "d")]
        failed = await act(fleet, "acts:fails_to_reach", "d", peer="e", way="call")
        assert (failed["kind"], failed["party"]) == ("party-lost", "e") and failed["seconds"] < 0.5


async def test_a_peer_that_hangs_holds_up_a_return_until_it_is_restarted(
    launcher: LocalLauncher, tmp_path: Path
) -> None:
    """a, which is not replaced by itself, cannot be introduced to the new d; nobody waits for that any more then."""
    async with running(launcher, around(spare("d")), tmp_path) as fleet:
        os.kill(pid_of(fleet, "a"), STOP)
        os.kill(pid_of(fleet, "d"), KILL)
        await until(lambda: state_of(fleet, "a").health == "hung")
        await until(lambda: state_of(fleet, "d").restarts > 1)
        await asyncio.sleep(0.5)  # by now that one is to be introduced
        outcome = await ask(fleet, wish("acts:nothing"))
        assert outcome.failure is not None and (outcome.failure.kind, outcome.failure.party) == ("party-hung", "a")
        await asyncio.wait_for(fleet.restart("a"), 5)
        await back(fleet, "d", restarts=state_of(fleet, "d").restarts)
        assert await told(fleet) == [("lost", "d"), ("returned", "d")]
        assert await act(fleet, "acts:pid", "a", "d") == pid_of(fleet, "d")


# -- the client


async def test_what_a_client_notes_is_told_as_it_comes(fleet: Fleet) -> None:
    notes = [{"kind": "retry", "text": "asked another", "party": "d", "at": 99.0}, {"kind": "check", "text": "agreed"}]
    outcome = await ask(fleet, wish("acts:nothing", notes=notes))
    told = [event for event in outcome.events if isinstance(event, Note)]
    assert [(note.kind, note.party, note.text) for note in told] == [
        ("retry", "d", "asked another"),
        ("check", "", "agreed"),
    ]
    assert 0 <= told[0].at <= told[1].at <= outcome.finished.total  # by the host's clock, whatever the role says
    outcome = await ask(fleet, wish("acts:nothing", notes=[{"kind": "retry", "text": 5}]))
    assert outcome.failure is not None and "yielded a Note that is none" in outcome.failure.message


async def test_the_ways_that_a_client_takes_are_told_as_they_come(fleet: Fleet) -> None:
    steps = (("a",), ("b", "d"), ("a",))
    outcome = await ask(fleet, wish("acts:nothing", routes=[{"steps": steps}, {"steps": (("a",),), "seconds": 0.25}]))
    told = [event for event in outcome.events if isinstance(event, Route)]
    assert told == [Route(steps=steps), Route(steps=(("a",),), seconds=0.25)]


@pytest.mark.parametrize(
    "bad",
    [{"steps": []}, {"steps": [["a"], []]}, {"steps": [[5]]}, {"steps": ["a"]}, {"steps": [["a"]], "seconds": -1.0}],
    ids=["no step", "an empty step", "no name", "no list of names", "negative"],
)
async def test_a_way_that_is_none_fails_the_query(fleet: Fleet, bad: dict[str, Any]) -> None:
    outcome = await ask(fleet, wish("acts:nothing", routes=[bad]))
    assert outcome.failure is not None and "yielded a Route that is none" in outcome.failure.message
    assert outcome.failure.kind == "role" and not any(isinstance(event, Route) for event in outcome.events)


async def test_a_client_that_cannot_take_a_loss(launcher: LocalLauncher, tmp_path: Path) -> None:
    client = Party("client", "puppets:PuppetClient", settings={"cannot lose": True})
    async with running(launcher, plan(client, "a", spare("d")), tmp_path) as fleet:
        task = await began(fleet, wish("acts:linger", token=True))
        os.kill(pid_of(fleet, "d"), KILL)
        outcome = await asyncio.wait_for(task, 3)
        assert outcome.failure is not None and (outcome.failure.kind, outcome.failure.party) == ("role", "client")
        assert "lost failed: ValueError" in outcome.failure.message


async def test_the_client_gets_the_new_key_of_one_that_it_only_knows(launcher: LocalLauncher, tmp_path: Path) -> None:
    client = Party("client", "puppets:PuppetClient", knows=("d",))
    async with running(launcher, plan(client, "a", spare("d")), tmp_path) as fleet:
        os.kill(pid_of(fleet, "d"), KILL)
        await back(fleet, "d")
        _, (_, _, certificate, _) = await act(fleet, "acts:losses")
        assert certificate == fleet._members["d"].hello.result().certificate
        signature = await act(fleet, "acts:sign", "a", "d", text="it is me again")
        assert await act(fleet, "acts:check", party="d", text="it is me again", signature=signature)
