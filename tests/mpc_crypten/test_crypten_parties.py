"""`mpc-crypten` on real fleets: right answers, what each party sees, and parties that fail or misbehave."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from real_fleets import alive, ask, log_of, pid_of, running, with_roles
from reference import Reference
from uniform import is_uniform

from unfed.backends.mpc_crypten.backend import DEALER, NODES, MpcCrypten
from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.console.runner.models import read_card
from unfed.plugins import Event, Failed, Failure, Finished, Phase, Plan, Query
from unfed.plugins.view import View

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

DEMO = Path(__file__).parents[2] / "profiles" / "demo" / "model"
PROMPTS = ("a large body of salt water =>", "someone who studies the stars =>")
_numbers = itertools.count(1)


def plan(**roles: str) -> Plan:
    """The backend's plan, with other roles for some parties."""
    return with_roles(MpcCrypten().plan({"model": read_card(DEMO)}, MpcCrypten.Options()), roles)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fleet(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    folder = tmp_path_factory.mktemp("crypten")
    async with running(launcher, plan(), folder, models={"model": read_card(DEMO)}) as fleet:
        yield fleet


async def answer(fleet: Fleet, prompt: str, tokens: int, logits: bool = False) -> list[Event]:
    query = Query(id=f"c{next(_numbers)}", prompt=prompt, max_new_tokens=tokens, logits=logits)
    events = [event async for event in fleet.ask(query, 60)]
    await fleet.settle(query.id)
    return events


def ids(events: list[Event]) -> list[int]:
    assert isinstance(events[-1], Finished), events[-1]
    return list(events[-1].answer.token_ids)


def failure(events: list[Event]) -> Failure:
    assert isinstance(events[-1], Failed), events[-1]
    return events[-1].error


async def test_greedy_tokens_are_those_of_generate_and_logits_are_close(fleet: Fleet) -> None:
    reference = Reference(DEMO)
    for prompt in PROMPTS:
        events = await answer(fleet, prompt, 16, logits=True)
        assert ids(events) == reference.greedy(prompt, 16)
        assert reference.error(prompt, events) <= 0.02
    finished = events[-1]
    assert isinstance(finished, Finished) and finished.offline > 0
    offline = {event.name for event in events if isinstance(event, Phase) and event.kind == "offline"}
    assert offline == {"seeds", "randomness"}


async def test_queries_at_once_do_not_mix(fleet: Fleet) -> None:
    alone = [ids(await answer(fleet, prompt, 2)) for prompt in PROMPTS]
    together = await asyncio.gather(*(answer(fleet, prompt, 2) for prompt in PROMPTS))
    assert alone[0] != alone[1] and [ids(each) for each in together] == alone


async def test_a_cancelled_query_leaves_the_fleet_fit(fleet: Fleet) -> None:
    query = Query(id="cancelled", prompt=PROMPTS[0])
    events = []
    async for event in fleet.ask(query, 60):
        events.append(event)
        if isinstance(event, Phase) and event.name == "prefill" and event.seconds is None:
            await asyncio.sleep(0.1)  # in the middle of its rounds
            fleet.cancel(query.id)
    assert failure(events).kind == "cancelled"
    await fleet.settle(query.id)
    began = time.monotonic()
    assert len(ids(await answer(fleet, PROMPTS[0], 1))) == 1
    assert time.monotonic() - began < 10


async def test_a_prompt_that_cannot_be_is_refused_before_anything_is_sent(fleet: Fleet) -> None:
    outcome = await ask(fleet, "word " * 400)
    assert outcome.failure is not None and outcome.failure.kind == "bad-input"


async def test_views_of_nodes_are_uniform_and_the_dealers_is_of_lengths(
    launcher: LocalLauncher, tmp_path: Path
) -> None:
    """Two prompts of as many tokens: what nodes open is spread evenly, and the dealer sees no difference."""
    dealer: list[object] = []
    words: dict[str, list[np.ndarray]] = {node: [] for node in NODES}
    bits: dict[str, list[np.ndarray]] = {node: [] for node in NODES}
    for number, prompt in enumerate(("a kind of large dog", "a town with a port")):
        views = tmp_path / f"views{number}"
        models = {"model": read_card(DEMO)}
        async with running(launcher, plan(), tmp_path, models=models, views=views, variant="v") as fleet:
            query = Query(id="same", prompt=prompt, max_new_tokens=2)
            assert isinstance([event async for event in fleet.ask(query, 60)][-1], Finished)
            await fleet.settle(query.id)
        for path in sorted(views.rglob("*")):
            party = next((name for name in (DEALER, *NODES) if name in path.name), None)
            if party is None or not path.is_file():
                continue
            messages = [entry for entry in View(party, path) if entry.kind == "message"]
            if party == DEALER:
                dealer.append(sorted((m.sender, m.name, str(m.fields)) for m in messages))
                assert not any(message.arrays for message in messages), "no array ever goes to the dealer"
                continue
            for message in messages:
                for array in message.arrays.values():
                    seen = np.frombuffer(array.data, np.uint64)
                    (bits if seen.max() <= 1 else words)[party].append(seen)
    assert len(dealer) == 2 and dealer[0] == dealer[1] != []
    for node in NODES:
        assert is_uniform(np.concatenate(words[node]))
        single = np.concatenate(bits[node])
        assert abs(single.mean() - 0.5) < 6 * 0.5 / len(single) ** 0.5


@pytest.mark.parametrize("victim", [*NODES, DEALER])
async def test_a_party_killed_in_mid_round_is_named(launcher: LocalLauncher, tmp_path: Path, victim: str) -> None:
    async with running(launcher, plan(), tmp_path, models={"model": read_card(DEMO)}) as fleet:
        pids = [state.pid for state in fleet.parties()]
        events, killed = [], 0.0
        async for event in fleet.ask(Query(id="killed", prompt=PROMPTS[0]), 60):
            events.append(event)
            during = "randomness" if victim == DEALER else "prefill"
            if isinstance(event, Phase) and event.name == during and not killed:
                await asyncio.sleep(0.05)
                os.kill(pid_of(fleet, victim), signal.SIGKILL)
                killed = time.monotonic()
        assert time.monotonic() - killed < 5
        assert failure(events).party == victim
        await fleet.settle("killed")
    assert not alive(pids)


@pytest.mark.parametrize(
    ("roles", "party", "named"),
    [
        ({"compute_1": "Misshapen"}, "compute-1", "shares that do not fit"),
        ({"compute_1": "Greedy"}, "compute-1", "seed out of turn"),
        ({"compute_0": "Babbling"}, "compute-0", "no request"),
        ({"dealer": "Skimping"}, "dealer", "shares that do not fit"),
        ({"compute_0": "Absurd"}, "client", "larger than this model's can be"),
    ],
)
async def test_a_party_that_misbehaves_is_named(
    launcher: LocalLauncher, tmp_path: Path, roles: dict[str, str], party: str, named: str
) -> None:
    rogues = {name: f"crypten_rogues:{role}" for name, role in roles.items()}
    async with running(launcher, plan(**rogues), tmp_path, models={"model": read_card(DEMO)}) as fleet:
        found = (await ask(fleet, PROMPTS[0])).failure
        assert found is not None and (found.party, found.kind) == (party, "role" if party == "client" else "protocol")
        assert named in found.message
        for name in ("client", *NODES, DEALER):
            assert "salt" not in log_of(fleet, name)
