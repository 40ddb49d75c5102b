"""Parties of `unfed` with layers under MPC that die or hang in the middle: the answer goes on, and nothing is left."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from disturbing import SLOW, disturbed, matrix, notes, whole
from random_models import save_llama
from real_fleets import pid_of, running, with_roles
from reference import Reference
from telling import ROLES, kept

from unfed.backends.unfed.backend import Unfed
from unfed.backends.unfed.names import DEALER, ENTRIES
from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.console.runner.models import read_card
from unfed.plugins import Plan

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

PROMPTS = ("someone who studies the stars", "a kind of large dog", "one two three")
"""The model's two best logits are further apart than `APART` at every token of its answers to these."""
TOKENS = 24
APART, ERROR = 0.018, 0.009


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("random_models.LOUDER", 1.5)
        return save_llama(tmp_path_factory.mktemp("llama"), layers=4, hidden=64, seed=6)


@pytest.fixture(scope="module")
def right(folder: Path) -> dict[str, list[int]]:
    """What `plain` answers."""
    reference = Reference(folder)
    return {prompt: reference.greedy(prompt, TOKENS) for prompt in PROMPTS}


def plan(folder: Path, roles: dict[str, str] | None = None, **options: Any) -> Plan:
    chosen = Unfed.Options(**{"mpc_layers": 1, "shards": 2} | options)
    return with_roles(Unfed().plan({"model": read_card(folder)}, chosen), ROLES | (roles or {}))


def fleet_of(launcher: LocalLauncher, tmp: Path, folder: Path, made: Plan, **more: Any) -> Any:
    return running(launcher, made, tmp, models={"model": read_card(folder)}, **{"link": SLOW} | more)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pair(launcher: LocalLauncher, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """Two nodes for each range of layers."""
    async with fleet_of(launcher, tmp_path_factory.mktemp("pair"), folder, plan(folder, replicas=2)) as fleet:
        yield fleet


PARTIES = [*ENTRIES, DEALER, "guard", "relay-0", "layers-0.0", "relay-1", "relay-2", "layers-1.1"]
MATRIX = matrix(PARTIES, TOKENS)


@pytest.mark.parametrize(("name", "when"), MATRIX)
async def test_whoever_is_killed_the_tokens_are_the_same(
    pair: Fleet, right: dict[str, list[int]], name: str, when: int
) -> None:
    await whole(pair)
    outcome = await disturbed(pair, PROMPTS[0], {when: lambda: pair.kill(name)}, TOKENS)
    assert outcome.failure is None, outcome.failure
    assert list(outcome.answer.token_ids) == right[PROMPTS[0]]
    assert {(note.kind, note.party) for note in notes(outcome)} <= {("retry", name)}


@pytest.mark.parametrize(("name", "when"), MATRIX)
async def test_whoever_hangs_the_tokens_are_the_same(
    pair: Fleet, right: dict[str, list[int]], name: str, when: int
) -> None:
    await whole(pair)
    outcome = await disturbed(pair, PROMPTS[0], {when: lambda: os.kill(pid_of(pair, name), signal.SIGSTOP)}, TOKENS)
    assert outcome.failure is None, outcome.failure
    assert list(outcome.answer.token_ids) == right[PROMPTS[0]]
    assert {(note.kind, note.party) for note in notes(outcome)} <= {("retry", name)}


async def test_nothing_is_left_of_what_was_asked_again(pair: Fleet, right: dict[str, list[int]]) -> None:
    """Of several queries at once, of which each loses both entries, the dealer and a relay after one another."""
    await whole(pair)
    victims = iter((*ENTRIES, DEALER, "relay-1"))
    disturb = {3 + 5 * number: lambda: pair.kill(next(victims)) for number in range(4)}
    asked = (disturbed(pair, prompt, disturb if not number else {}, TOKENS) for number, prompt in enumerate(PROMPTS))
    for prompt, outcome in zip(PROMPTS, await asyncio.gather(*asked), strict=True):
        assert outcome.failure is None, outcome.failure
        assert list(outcome.answer.token_ids) == right[prompt]
        assert [note.kind for note in notes(outcome)] == ["retry"] * 4
    left = await kept(pair)
    assert left.keys() == {"guard", *ENTRIES, DEALER, "layers-0.0", "layers-0.1"}
    assert not any(left.values()), left
