"""Checks of faults: a query cancelled, a party killed and a party stopped, each in the middle of an answer."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time

from ..errors import Failure
from .exchange import Exchange
from .lab import Fleet
from .midway import Fault, held_up, mid_answer, stopped, until
from .outcome import Complaint, NotApplicable, complain
from .rig import LONG, Rig, alive, pid_of, running, signalled

CANCELLED_WITHIN = 2.0
LOST_WITHIN = 5.0
HUNG_WITHIN = 15.0
GONE_WITHIN = 3.0
QUIET_WITHIN = 8.0
REPAIRED_WITHIN = 60.0
"""Seconds from the fault to the end of the query, of the last process, of messages about it, and to the next answer."""
_DID = {signal.SIGKILL: "killed", signal.SIGSTOP: "stopped"}
AT_ONCE = 3
"""Fleets with a hung node at the same time."""


async def cancellation(rig: Rig) -> str:
    """A query that is cancelled ends at once, work on it stops, and the next one is answered."""
    fleet = await rig.fleet()
    prompt = rig.prompt()
    before = await rig.ask(fleet, rig.query(prompt))
    cancelled = Fault(lambda: fleet.cancel(cancelled.query))
    made = await mid_answer(rig, fleet, cancelled)
    frozen = ""
    if made.failure is None:  # it was too quick: have it wait for a node
        nodes = [party for party in fleet.parties() if not party.trusted]
        if not nodes:
            raise NotApplicable("the answer is whole before it can be cancelled, and there is no node to hold it up")
        frozen = nodes[0].name
        with stopped(nodes[0].pid):
            cancelled = Fault(lambda: fleet.cancel(cancelled.query))
            made = await held_up(rig, fleet, cancelled)
        await until(lambda: all(party.health == "ready" for party in fleet.parties()), GONE_WITHIN + 1)
    if made.failure is None:
        raise NotApplicable(f"the answer is whole before it can be cancelled, even while {frozen} is stopped")
    if made.failure.kind != "cancelled":
        raise Complaint(f"a cancelled query fails otherwise: {made.failure}")
    if (took := made.seconds - cancelled.at) > CANCELLED_WITHIN:
        raise Complaint(
            f"the query ended {took:.1f} s after it was cancelled; at most {CANCELLED_WITHIN:g} s are allowed"
        )
    await fleet.settle(made.query.id)
    if not await _quiet(fleet):
        raise Complaint(
            "parties still send messages after the query was cancelled: let CancelledError through in answer(), "
            "and end loops of nodes in forget(query)"
        )
    after = await rig.ask(fleet, rig.query(prompt))
    if after.failure is not None:
        raise Complaint(f"after a cancelled query the fleet no longer answers: {after.failure}")
    if before.answer != after.answer and (await rig.ask(fleet, rig.query(prompt))).answer == before.answer:
        raise Complaint("the query after a cancelled one is answered otherwise: is state left over?")
    return f"ended {took:.2f} s after it was cancelled" + (f" (while {frozen} was held up)" if frozen else "")


async def crash(rig: Rig) -> str:
    """A party that is killed in the middle of an answer is named at once, or survived; and nothing is left running."""
    return await _each_in_turn(rig, rig.plan.processes(), signal.SIGKILL, LOST_WITHIN)


async def hang(rig: Rig) -> str:
    """A node that is stopped in the middle of an answer is named in time, or survived; and nothing is left running."""
    return await _each_in_turn(rig, rig.nodes, signal.SIGSTOP, HUNG_WITHIN)


async def _each_in_turn(rig: Rig, names: tuple[str, ...], number: signal.Signals, within: float) -> str:
    if not names:
        raise NotApplicable("there is no node")
    named, survived, problems = list[str](), list[str](), list[str]()
    fleets = asyncio.Semaphore(AT_ONCE if number == signal.SIGSTOP else 1)  # a hang is mostly waited for

    async def one(name: str) -> None:
        async with fleets:
            try:
                if rig.plan.party(name).survivable:
                    survived.append(f"{name} {await _survived(rig, name, number):.1f} s")
                else:
                    named.append(f"{name} {await _one(rig, name, number, within):.1f} s")
            except Complaint as complaint:
                problems.append(str(complaint))

    await asyncio.gather(*map(one, names))
    complain(problems)
    told = [
        f"{what}: {', '.join(names)}" for what, names in (("named after", named), ("survived in", survived)) if names
    ]
    return f"{'; '.join(told)}; nothing left running"


async def _one(rig: Rig, name: str, number: signal.Signals, within: float) -> float:
    """Do that to one party; returns after how many seconds it was named."""
    did = _DID[number]
    processes: list[int] = []
    for hold_up in (False, True):
        async with rig.fresh() as fleet:
            await rig.ask(fleet)
            processes += running(fleet)
            pid = pid_of(fleet, name)
            fault = Fault(lambda pid=pid: signalled(pid, number))  # type: ignore[misc]
            if hold_up:
                with stopped(pid) if number == signal.SIGKILL else contextlib.nullcontext():
                    made = await held_up(rig, fleet, fault, at_once=number == signal.SIGSTOP)
            else:
                made = await mid_answer(rig, fleet, fault)
            if made.failure is not None and not fault.done:
                raise Complaint(f"an ordinary query fails: {made.failure}")
            if made.failure is not None:
                blame(name, did, made.failure, made.seconds - fault.at, within)
                await _comes_back(rig, fleet, name)
                break
    else:
        async with rig.fresh() as fleet:  # no answer waits for it: then the next query must know
            processes += running(fleet)
            signalled(pid_of(fleet, name), number)
            fault = Fault(lambda: None)
            made = await _next_knows(rig, fleet, name, did, within)
    await _all_gone(processes, f"after {name} was {did}")
    return made.seconds - fault.at


async def _survived(rig: Rig, name: str, number: signal.Signals) -> float:
    """Do that to a party whose loss queries are to survive; returns how long the answer took, which is the same."""
    prompt = rig.prompt()
    async with rig.fresh() as fleet:
        calm = await rig.ask(fleet, rig.query(prompt, LONG))
        if calm.failure is not None:
            raise Complaint(f"an ordinary query fails: {calm.failure}")
        processes, pid = running(fleet), pid_of(fleet, name)
        made = await mid_answer(rig, fleet, Fault(lambda: signalled(pid, number)), prompt)
        if made.failure is not None or made.answer != calm.answer:
            became = "is answered otherwise" if made.failure is None else f"fails: {made.failure}"
            raise Complaint(f"{name} was {_DID[number]}, which the plan calls survivable, and the query {became}")
        await _comes_back(rig, fleet, name)
    await _all_gone(processes, f"after {name} was {_DID[number]}")
    return made.seconds


def blame(name: str, did: str, failure: Failure, took: float, within: float) -> None:
    """Complain unless the failure names the party that something was done to, soon enough."""
    if failure.party != name:
        raise Complaint(f"{name} was {did}, and the query failed naming {failure.party or 'nobody'}: {failure}")
    if took > within:
        raise Complaint(f"{name} was {did}, which was told after {took:.1f} s; at most {within:g} s are allowed")


async def _comes_back(rig: Rig, fleet: Fleet, name: str) -> None:
    """Where the plan restarts the party, the fleet answers again."""
    if rig.plan.party(name).restart == "never":
        return
    deadline = time.monotonic() + REPAIRED_WITHIN
    made = await rig.ask(fleet)
    while made.failure is not None and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        made = await rig.ask(fleet)
    if made.failure is not None:
        raise Complaint(f"the plan restarts {name}, and the fleet does not answer again: {made.failure}")


async def _next_knows(rig: Rig, fleet: Fleet, name: str, did: str, within: float) -> Exchange:
    deadline = time.monotonic() + within
    made = await rig.ask(fleet)
    while made.failure is None and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        made = await rig.ask(fleet)
    if rig.plan.party(name).restart == "never":
        if made.failure is None:
            raise Complaint(f"{name} was {did}, and queries are answered as if nothing had happened")
        blame(name, did, made.failure, 0.0, within)
    await _comes_back(rig, fleet, name)
    return made


async def _quiet(fleet: Fleet) -> bool:
    """Whether parties stop sending: two looks, further apart than heartbeats, see the same counts.

    What is done ahead of the next query ends too.
    """
    await fleet.rested()
    deadline = time.monotonic() + QUIET_WITHIN
    counts = None
    while time.monotonic() < deadline:
        now = {party.name: party.messages_out for party in fleet.parties()}
        if now == counts:
            return True
        counts = now
        await asyncio.sleep(1.2)
    return False


async def _all_gone(processes: list[int], when: str) -> None:
    if not await until(lambda: not any(alive(pid) for pid in processes), GONE_WITHIN):
        left = sum(alive(pid) for pid in processes)
        raise Complaint(f"{when} and the fleet was ended, {left} processes are still running")
