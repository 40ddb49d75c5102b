"""Sessions made ahead of queries: which prompts find one, whom they cost what, and what goes wrong with them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from real_fleets import Outcome, ask, pid_of, running, with_roles
from reference import Reference
from uniform import is_uniform

from unfed.backends.mpc.backend import DEALER, NODES, Mpc
from unfed.backends.mpc.parts import FEW, MOST
from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.console.runner.models import read_card
from unfed.plugins import Phase, Plan
from unfed.plugins.view import Entry

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

DEMO = Path(__file__).parents[2] / "profiles" / "demo" / "model"
LIKE = ("a kind of large dog", "a town with a port", "someone who makes bread")
LONGER = "the act of moving a heavy thing from one place to another place"
"""Prompts that are padded alike, and one that is not."""


def plan(pool: int = 1, weights: Any = "public", **roles: str) -> Plan:
    return with_roles(Mpc().plan({"model": read_card(DEMO)}, Mpc.Options(pool=pool, weights=weights)), roles)


def fleet_of(launcher: LocalLauncher, folder: Path, made: Plan, **more: Any) -> Any:
    return running(launcher, made, folder, models={"model": read_card(DEMO)}, **more)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fleet(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    async with fleet_of(launcher, tmp_path_factory.mktemp("pool"), plan()) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(DEMO)


async def asked(fleet: Fleet, prompt: str, tokens: int = 8, **more: Any) -> Outcome:
    """An answer, once what is made ahead has been made."""
    assert await fleet.rested()
    return await ask(fleet, prompt, max_new_tokens=tokens, **more)


def waits(outcome: Outcome) -> int:
    """How often the client waited for material."""
    return sum(isinstance(e, Phase) and e.kind == "offline" and e.seconds is None for e in outcome.events)


async def test_a_prompt_like_the_last_one_finds_its_session_ready(fleet: Fleet, reference: Reference) -> None:
    await asked(fleet, LIKE[0])
    outcome = await asked(fleet, LIKE[1], 1 + FEW)
    finished = outcome.finished
    assert waits(outcome) == finished.offline == 0 < finished.ahead
    assert list(finished.answer.token_ids) == reference.greedy(LIKE[1], 1 + FEW)
    assert len(outcome.settlement.adopted) == 1
    sent = {(link.source, link.target): link.bytes for link in outcome.settlement.trace.links}
    assert all(sent[DEALER, node] > 1 << 20 for node in NODES), "its material counts"


async def test_a_longer_answer_is_prepared_as_it_goes(fleet: Fleet, reference: Reference) -> None:
    await asked(fleet, LIKE[0])
    outcome = await asked(fleet, LIKE[1], 64, temperature=2.0, seed=7)
    made = len(outcome.answer.token_ids)
    assert made > 1 + FEW, "choose another seed: this answer is too short to show it"
    assert waits(outcome) == made - 1 - FEW
    assert waits(await asked(fleet, LIKE[1], 64, temperature=2.0, seed=7)) == max(0, made - 1 - min(MOST, made + FEW))


async def test_logits_are_as_close_as_without(fleet: Fleet, reference: Reference) -> None:
    await asked(fleet, LIKE[0])
    outcome = await asked(fleet, LIKE[2], logits=True)
    assert outcome.settlement.adopted
    assert reference.error(LIKE[2], outcome.events) <= 0.01


async def test_what_a_prompt_of_another_size_makes_useless_is_at_its_cost(fleet: Fleet, reference: Reference) -> None:
    await asked(fleet, LIKE[0])
    first, second = await asked(fleet, LONGER), await asked(fleet, LONGER)
    for outcome in (first, second):
        assert list(outcome.answer.token_ids) == reference.greedy(LONGER, 8)
        assert len(outcome.settlement.adopted) == 1
    assert first.finished.offline > 0 == second.finished.offline
    assert first.settlement.adopted != second.settlement.adopted


async def test_a_query_that_comes_early_takes_what_there_is(fleet: Fleet, reference: Reference) -> None:
    """The prompt's rows are being prepared, or some of the tokens after it."""
    wanted = reference.greedy(LIKE[1], 8)
    for wait in (0.0, 0.02, 0.1, 0.4):
        await asked(fleet, LIKE[0])
        await asyncio.sleep(wait)
        assert list((await ask(fleet, LIKE[1], max_new_tokens=8)).answer.token_ids) == wanted


async def test_queries_at_once_share_no_session(fleet: Fleet, reference: Reference) -> None:
    await asked(fleet, LIKE[0])
    outcomes = await asyncio.gather(*(asked(fleet, prompt) for prompt in LIKE))
    assert sum(len(outcome.settlement.adopted) for outcome in outcomes) == 1
    for prompt, outcome in zip(LIKE, outcomes, strict=True):
        assert list(outcome.answer.token_ids) == reference.greedy(prompt, 8)


async def test_what_would_not_fit_when_padded_is_asked_as_it_is(fleet: Fleet, reference: Reference) -> None:
    """The context has 256 tokens: all of them may be asked for."""
    await asked(fleet, LIKE[0])
    outcome = await asked(fleet, LIKE[1], 250)
    assert outcome.finished.offline > 0 and not outcome.settlement.adopted
    assert list(outcome.answer.token_ids) == reference.greedy(LIKE[1], 250)


async def test_a_pool_of_two_is_ready_for_both_of_the_last_sizes(launcher: LocalLauncher, tmp_path: Path) -> None:
    async with fleet_of(launcher, tmp_path, plan(pool=2)) as fleet:
        for prompt in (LIKE[0], LONGER):
            assert (await asked(fleet, prompt)).finished.offline > 0
        for prompt in (LIKE[1], LONGER):
            assert (await asked(fleet, prompt)).finished.offline == 0


async def test_no_pool_where_none_is_wanted(launcher: LocalLauncher, tmp_path: Path) -> None:
    async with fleet_of(launcher, tmp_path, plan(pool=0)) as fleet:
        for prompt in LIKE[:2]:
            outcome = await asked(fleet, prompt)
            assert not outcome.settlement.adopted
            assert outcome.finished.offline > 0 == outcome.finished.ahead


async def test_secret_weights(launcher: LocalLauncher, tmp_path: Path, reference: Reference) -> None:
    async with fleet_of(launcher, tmp_path, plan(weights="secret")) as fleet:
        await asked(fleet, LIKE[0])
        outcome = await asked(fleet, LIKE[1], logits=True)
        assert outcome.finished.offline == 0
        assert reference.error(LIKE[1], outcome.events) <= 0.01


async def test_the_dealer_sees_no_difference_in_length_and_nodes_see_noise(
    launcher: LocalLauncher, tmp_path: Path
) -> None:
    """Of two prompts that are padded alike."""
    dealt: list[list[Any]] = []
    opened: dict[str, list[Any]] = {node: [] for node in NODES}
    for number, prompt in enumerate(("a large dog", "a kind of dog with a tail")):
        views = tmp_path / f"views{number}"
        async with fleet_of(launcher, tmp_path, plan(), views=views, variant="v") as fleet:
            await asked(fleet, prompt, 2)
            outcome = await asked(fleet, prompt, 2)
            assert await fleet.rested()
        ids = {outcome.query, *outcome.settlement.adopted}
        seen = {view.party: [e for e in view.messages() if e.query in ids] for view, _, _ in outcome.settlement.views}
        dealt.append([lengths(entry) for entry in seen[DEALER]])
        assert not any(entry.arrays for entry in seen[DEALER]), "no array ever goes to the dealer"
        for node in NODES:
            opened[node] += [e.arrays["opened"].numpy().view(np.uint64) for e in seen[node] if "opened" in e.arrays]
    assert sorted(dealt[0]) == sorted(dealt[1])
    assert (NODES[0], 0, 0, 8) in dealt[0] and len(dealt[0]) == 2 * (1 + FEW)
    assert all(is_uniform(np.concatenate(arrays)) for arrays in opened.values())


def lengths(entry: Entry) -> tuple[Any, ...]:
    """What the dealer is told, but for the session's name, which is drawn at random."""
    told = dict(entry.fields)
    assert told.keys() == {"session", "step", "start", "tokens"} and told.pop("session") == entry.query
    return entry.sender, *told.values()


@pytest.mark.parametrize("victim", [*NODES, DEALER])
async def test_a_party_killed_while_nobody_asks_is_named(launcher: LocalLauncher, tmp_path: Path, victim: str) -> None:
    async with fleet_of(launcher, tmp_path, plan()) as fleet:
        await asked(fleet, LIKE[0])
        os.kill(pid_of(fleet, victim), signal.SIGKILL)
        outcome = await asked(fleet, LIKE[1])
        assert outcome.failure is not None and outcome.failure.party == victim


async def test_a_session_is_begun_under_its_own_name_alone(launcher: LocalLauncher, tmp_path: Path) -> None:
    async with fleet_of(launcher, tmp_path, plan(client="mpc_rogues:Renaming")) as fleet:
        failure = (await asked(fleet, LIKE[0])).failure
        assert failure is not None and failure.party == "client" and "out of turn" in failure.message
