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
from random_models import save_llama
from real_fleets import Outcome, ask, pid_of, running, with_roles
from reference import Reference
from uniform import is_uniform

from unfed.backends.mpc.backend import DEALER, NODES, Mpc
from unfed.backends.mpc.transformer.parts import FEW
from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.console.runner.models import read_card
from unfed.plugins import ModelCard, Phase, Plan
from unfed.plugins.view import Entry

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

LIKE = ("a dog", "a town", "bread")
LONGER = "the act of moving a heavy thing from one place to another"
"""Prompts that are padded alike, and one that is not."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    """Small, so that little time goes by in making what it takes; with no end of its own."""
    folder = tmp_path_factory.mktemp("model") / "llama"
    return read_card(save_llama(folder, layers=1, hidden=32, generation={"eos_token_id": None}))


@pytest.fixture(scope="module")
def reference(model: ModelCard) -> Reference:
    return Reference(model.path)


def plan(model: ModelCard, pool: int = 1, weights: Any = "public", **roles: str) -> Plan:
    return with_roles(Mpc().plan({"model": model}, Mpc.Options(pool=pool, weights=weights)), roles)


def fleet_of(launcher: LocalLauncher, folder: Path, model: ModelCard, made: Plan, **more: Any) -> Any:
    return running(launcher, made, folder, models={"model": model}, **more)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fleet(
    launcher: LocalLauncher, model: ModelCard, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Fleet]:
    async with fleet_of(launcher, tmp_path_factory.mktemp("pool"), model, plan(model)) as fleet:
        yield fleet


async def asked(fleet: Fleet, prompt: str, tokens: int = 8) -> Outcome:
    """An answer, once what is made ahead has been made."""
    assert await fleet.rested()
    return await ask(fleet, prompt, max_new_tokens=tokens, logits=True)


def waits(outcome: Outcome) -> int:
    """How often the client waited for material."""
    return sum(isinstance(e, Phase) and e.kind == "offline" and e.seconds is None for e in outcome.events)


def is_right(outcome: Outcome, prompt: str, reference: Reference) -> bool:
    return reference.error(prompt, outcome.events) <= 0.01


async def test_a_prompt_like_the_last_one_finds_its_session_ready(fleet: Fleet, reference: Reference) -> None:
    await asked(fleet, LIKE[0])
    outcome = await asked(fleet, LIKE[1], 1 + FEW)
    finished = outcome.finished
    assert waits(outcome) == finished.offline == 0 < finished.ahead
    assert is_right(outcome, LIKE[1], reference)
    assert len(outcome.settlement.adopted) == 1
    sent = {(link.source, link.target): link.bytes for link in outcome.settlement.trace.links}
    assert all(sent[DEALER, node] > 1 << 16 for node in NODES), "its material counts"


async def test_a_longer_answer_is_prepared_as_it_goes(fleet: Fleet, reference: Reference) -> None:
    await asked(fleet, LIKE[0])
    for ahead in (FEW, 3 * FEW):
        outcome = await asked(fleet, LIKE[1], 20)
        assert waits(outcome) == max(0, 20 - 1 - ahead)
        assert is_right(outcome, LIKE[1], reference)


async def test_what_a_prompt_of_another_size_makes_useless_is_at_its_cost(fleet: Fleet, reference: Reference) -> None:
    await asked(fleet, LIKE[0])
    first, second = await asked(fleet, LONGER), await asked(fleet, LONGER)
    for outcome in (first, second):
        assert is_right(outcome, LONGER, reference)
        assert len(outcome.settlement.adopted) == 1
    assert first.finished.offline > 0 == second.finished.offline
    assert first.settlement.adopted != second.settlement.adopted


async def test_a_query_that_comes_early_takes_what_there_is(fleet: Fleet, reference: Reference) -> None:
    """The prompt's rows are being prepared, or some of the tokens after it."""
    for wait in (0.0, 0.01, 0.03, 0.1):
        await asked(fleet, LIKE[0])
        await asyncio.sleep(wait)
        assert is_right(await ask(fleet, LIKE[1], max_new_tokens=8, logits=True), LIKE[1], reference)


async def test_queries_at_once_share_no_session(fleet: Fleet, reference: Reference) -> None:
    await asked(fleet, LIKE[0])
    outcomes = await asyncio.gather(*(asked(fleet, prompt) for prompt in LIKE))
    assert sum(len(outcome.settlement.adopted) for outcome in outcomes) == 1
    assert all(is_right(outcome, prompt, reference) for prompt, outcome in zip(LIKE, outcomes, strict=True))


async def test_what_would_not_fit_when_padded_is_asked_as_it_is(
    launcher: LocalLauncher, tmp_path: Path, model: ModelCard, reference: Reference
) -> None:
    """All of the context may be asked for."""
    short = Mpc().plan({"model": model}, Mpc.Options(context=24))
    async with fleet_of(launcher, tmp_path, model, short) as fleet:
        await asked(fleet, LIKE[0])
        outcome = await asked(fleet, LIKE[1], 30)
        assert outcome.finished.offline > 0 and not outcome.settlement.adopted
        assert outcome.answer.stopped == "context" and is_right(outcome, LIKE[1], reference)


async def test_a_pool_of_two_is_ready_for_both_of_the_last_sizes(
    launcher: LocalLauncher, tmp_path: Path, model: ModelCard
) -> None:
    async with fleet_of(launcher, tmp_path, model, plan(model, pool=2)) as fleet:
        for prompt in (LIKE[0], LONGER):
            assert (await asked(fleet, prompt)).finished.offline > 0
        for prompt in (LIKE[1], LONGER):
            assert (await asked(fleet, prompt)).finished.offline == 0


async def test_no_pool_where_none_is_wanted(launcher: LocalLauncher, tmp_path: Path, model: ModelCard) -> None:
    async with fleet_of(launcher, tmp_path, model, plan(model, pool=0)) as fleet:
        for prompt in LIKE[:2]:
            outcome = await asked(fleet, prompt)
            assert not outcome.settlement.adopted
            assert outcome.finished.offline > 0 == outcome.finished.ahead


async def test_secret_weights(launcher: LocalLauncher, tmp_path: Path, model: ModelCard, reference: Reference) -> None:
    async with fleet_of(launcher, tmp_path, model, plan(model, weights="secret")) as fleet:
        await asked(fleet, LIKE[0])
        outcome = await asked(fleet, LIKE[1])
        assert outcome.finished.offline == 0 and is_right(outcome, LIKE[1], reference)


async def test_the_dealer_sees_no_difference_in_length_and_nodes_see_noise(
    launcher: LocalLauncher, tmp_path: Path, model: ModelCard
) -> None:
    """Of two prompts that are padded alike."""
    dealt: list[list[Any]] = []
    opened: dict[str, list[Any]] = {node: [] for node in NODES}
    for number, prompt in enumerate(("a", "a dog")):
        views = tmp_path / f"views{number}"
        async with fleet_of(launcher, tmp_path, model, plan(model), views=views, variant="v") as fleet:
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
async def test_a_party_killed_while_nobody_asks_is_named(
    launcher: LocalLauncher, tmp_path: Path, model: ModelCard, victim: str
) -> None:
    async with fleet_of(launcher, tmp_path, model, plan(model)) as fleet:
        await asked(fleet, LIKE[0])
        os.kill(pid_of(fleet, victim), signal.SIGKILL)
        outcome = await asked(fleet, LIKE[1])
        assert outcome.failure is not None and outcome.failure.party == victim


async def test_a_session_is_begun_under_its_own_name_alone(
    launcher: LocalLauncher, tmp_path: Path, model: ModelCard
) -> None:
    async with fleet_of(launcher, tmp_path, model, plan(model, client="mpc_rogues:Renaming")) as fleet:
        failure = (await asked(fleet, LIKE[0])).failure
        assert failure is not None and failure.party == "client" and "out of turn" in failure.message
