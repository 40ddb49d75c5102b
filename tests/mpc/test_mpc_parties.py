"""`mpc` on real fleets: right answers, what each party sees, and parties that fail or misbehave."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from real_fleets import alive, ask, began, pid_of, running, with_roles
from reference import Reference
from uniform import is_uniform

from unfed.backends.mpc.backend import NODES, Mpc
from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.console.runner.models import read_card
from unfed.plugins import Event, Failed, Finished, Plan, Query, Token
from unfed.plugins.view import View

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

DEMO = Path(__file__).parents[2] / "profiles" / "demo" / "model"
PROMPTS = ("a large body of salt water", "someone who studies the stars", "the act of moving a heavy thing")


def plan(**roles: str) -> Plan:
    """The backend's plan, with other roles for some parties; what is made ahead has tests of its own (`test_pool`)."""
    return with_roles(Mpc().plan({"model": read_card(DEMO)}, Mpc.Options(pool=0)), roles)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fleet(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    folder = tmp_path_factory.mktemp("mpc")
    async with running(launcher, plan(), folder, models={"model": read_card(DEMO)}) as fleet:
        yield fleet


async def test_greedy_tokens_are_those_of_generate(fleet: Fleet) -> None:
    reference = Reference(DEMO)
    for prompt in PROMPTS:
        assert list((await ask(fleet, prompt)).answer.token_ids) == reference.greedy(prompt, 64)


async def test_logits_are_close_and_offline_time_is_kept_apart(fleet: Fleet) -> None:
    query = Query(id="close", prompt=PROMPTS[0], max_new_tokens=3, logits=True)
    events = [event async for event in fleet.ask(query, 60)]
    await fleet.settle(query.id)
    assert Reference(DEMO).error(query.prompt, events) <= 0.01
    finished = events[-1]
    assert isinstance(finished, Finished) and finished.offline > 0


async def test_queries_at_once_do_not_mix(fleet: Fleet) -> None:
    alone = [(await ask(fleet, prompt)).answer.text for prompt in PROMPTS]
    together = await asyncio.gather(*(ask(fleet, prompt) for prompt in PROMPTS))
    assert [outcome.answer.text for outcome in together] == alone


async def test_views_of_nodes_are_uniform_and_the_dealers_is_of_lengths(
    launcher: LocalLauncher, tmp_path: Path
) -> None:
    """Two prompts of as many tokens: what the nodes open is spread evenly, and the dealer sees no difference."""
    seen: dict[str, list[object]] = {"dealer": []}
    opened: dict[str, list[np.ndarray]] = {node: [] for node in NODES}
    models = {"model": read_card(DEMO)}
    for number, prompt in enumerate(("a kind of large dog", "a town with a port")):
        views = tmp_path / f"views{number}"
        async with running(launcher, plan(), tmp_path, models=models, views=views, variant="v") as fleet:
            query = Query(id="same", prompt=prompt, max_new_tokens=2)
            events = [event async for event in fleet.ask(query, 60)]
            assert isinstance(events[-1], Finished)
            await fleet.settle(query.id)
        for path in sorted(views.rglob("*")):
            party = next((name for name in ("dealer", *NODES) if name in path.name), None)
            if party is None or not path.is_file():
                continue
            messages = [entry for entry in View(party, path) if entry.kind == "message"]
            if party == "dealer":
                seen[party].append(
                    sorted((m.sender, m.name, tuple(sorted(m.fields.items()))) for m in messages if m.fields)
                )
                assert not any(message.arrays for message in messages), "no array ever goes to the dealer"
            else:
                rounds = [m.arrays["opened"] for m in messages if "opened" in m.arrays]
                opened[party] += [np.frombuffer(array.data, np.uint64) for array in rounds]
    assert len(seen["dealer"]) == 2 and seen["dealer"][0] == seen["dealer"][1] != []
    for arrays in opened.values():
        assert is_uniform(np.concatenate(arrays))


@pytest.mark.parametrize("victim", [*NODES, "dealer"])
async def test_a_party_killed_in_mid_answer_is_named(launcher: LocalLauncher, tmp_path: Path, victim: str) -> None:
    async with running(launcher, plan(), tmp_path, models={"model": read_card(DEMO)}) as fleet:
        pids = [state.pid for state in fleet.parties()]
        task = await began(fleet, "a feeling of great joy")
        os.kill(pid_of(fleet, victim), signal.SIGKILL)
        outcome = await task
        assert outcome.failure is not None and outcome.failure.party == victim
        assert outcome.seconds < 5
    assert not alive(pids)


@pytest.mark.parametrize("victim", [*NODES, "dealer"])
async def test_a_party_killed_between_tokens_is_named(launcher: LocalLauncher, tmp_path: Path, victim: str) -> None:
    """While the next token's material is made or its rounds go on, whichever it is by then."""
    async with running(launcher, plan(), tmp_path, models={"model": read_card(DEMO)}) as fleet:
        killed: list[float] = []

        def kill(event: Event) -> None:
            if isinstance(event, Token) and not killed:
                os.kill(pid_of(fleet, victim), signal.SIGKILL)
                killed.append(time.monotonic())

        outcome = await ask(fleet, "a feeling of great joy", on_event=kill)
        assert killed and time.monotonic() - killed[0] < 5
        assert outcome.failure is not None and outcome.failure.party == victim


@pytest.mark.parametrize(
    ("rogue", "role", "named"),
    [
        ("compute-1", "Greedy", "given once"),
        ("compute-1", "Misshapen", "do not fit"),
        ("compute-1", "Mistyped", "do not fit"),
        ("compute-1", "Garbage", "do not fit"),
        ("compute-1", "Replaying", "do not fit"),
        ("client", "Repeating", "which is not prepared"),
    ],
)
async def test_a_party_that_misbehaves_is_named(
    launcher: LocalLauncher, tmp_path: Path, rogue: str, role: str, named: str
) -> None:
    made = plan(**{rogue.replace("-", "_"): f"mpc_rogues:{role}"})
    async with running(launcher, made, tmp_path, models={"model": read_card(DEMO)}) as fleet:
        outcome = await ask(fleet, "a feeling of great joy")
        failure = outcome.failure
        assert failure is not None and failure.party == rogue and named in failure.message
        assert outcome.seconds < 10
        told = re.sub(r"compute-[01]", "", f"{failure.message} {failure.hint or ''}")
        assert not re.search(r"[0-9]{2}", told), "a step's number may stand in an error, but no share and no token"


async def test_a_prompt_that_cannot_be_is_refused_before_anything_is_sent(fleet: Fleet) -> None:
    outcome = await ask(fleet, "word " * 400)
    assert isinstance(outcome.events[-1], Failed) and outcome.failure is not None
    assert outcome.failure.kind == "bad-input"
    assert (await ask(fleet, PROMPTS[0])).failure is None
