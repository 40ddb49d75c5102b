"""Parties of `unfed` with layers under MPC that die or hang in the middle: the answer goes on, and nothing is left."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import torch
from disturbing import disturbed, matrix, notes, whole
from random_models import save_llama
from real_fleets import Outcome, pid_of, running, state_of, until, with_roles
from reference import Reference
from telling import ROLES, kept

from unfed.backends.unfed.backend import Unfed
from unfed.backends.unfed.names import DEALER, ENTRIES
from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.console.runner.models import read_card
from unfed.plugins import Emulation

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

PROMPTS = ("someone who studies the stars", "a kind of large dog", "hello there")
"""The model's two best logits are further apart than twice the error of an answer's, at every token of its answers."""
TOKENS = 24
ERROR = 0.0115
LINK = Emulation(delay=0.0005)
PARTIES = ["guard", *ENTRIES, DEALER, "relay-0", "relay-1", "relay-2", "layers-0.0", "layers-1.1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("random_models.LOUDER", 1.5)
        return save_llama(tmp_path_factory.mktemp("llama"), layers=4, hidden=64, seed=6)


@pytest.fixture(scope="module")
def reference(folder: Path) -> Reference:
    return Reference(folder)


def fleet_of(launcher: LocalLauncher, tmp: Path, folder: Path, roles: dict[str, str], **options: Any) -> Any:
    chosen = Unfed.Options(**{"mpc_layers": 1} | options)
    made = with_roles(Unfed().plan({"model": read_card(folder)}, chosen), roles)
    return running(launcher, made, tmp, models={"model": read_card(folder)}, link=LINK)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pair(launcher: LocalLauncher, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """Two nodes for each range of layers."""
    async with fleet_of(launcher, tmp_path_factory.mktemp("pair"), folder, ROLES, shards=2, replicas=2) as fleet:
        yield fleet


async def answered(
    fleet: Fleet, disturb: dict[int, Callable[[], Any]], prompt: str = PROMPTS[0]
) -> tuple[str, Outcome]:
    return prompt, await disturbed(fleet, prompt, disturb, TOKENS, logits=True)


def survived(reference: Reference, prompt: str, outcome: Outcome) -> list[str]:
    """The tokens are `plain`'s, and logits are close, whatever was done on the way; returns who was told to be lost."""
    assert outcome.failure is None, outcome.failure
    assert list(outcome.answer.token_ids) == reference.greedy(prompt, TOKENS)
    assert reference.error(prompt, outcome.events) <= ERROR
    kinds = [note.kind for note in notes(outcome)]
    assert set(kinds) <= {"retry", "check"} and "check" not in kinds[:-1], "or lost once the answer was whole"
    return [str(note.party) for note in notes(outcome)]


async def test_the_tokens_are_further_apart_than_the_error(reference: Reference) -> None:
    """Or nothing could be said of them here, where rounds at random give other numbers each time."""
    for prompt in PROMPTS:
        ids = reference.ids(prompt)
        whole = torch.cat([ids, torch.tensor([reference.greedy(prompt, TOKENS)])], 1)
        with torch.inference_mode():
            best = reference.model(whole).logits[0, ids.shape[1] - 1 : -1].topk(2).values
        assert len(best) == TOKENS and float((best[:, 0] - best[:, 1]).min()) > 2 * ERROR


@pytest.mark.parametrize(("name", "when"), matrix(PARTIES, TOKENS, [*ENTRIES, DEALER]))
async def test_whoever_is_killed_the_tokens_are_the_same(
    pair: Fleet, reference: Reference, name: str, when: int
) -> None:
    await whole(pair)
    outcome = await answered(pair, {when: lambda: pair.kill(name)})
    assert set(survived(reference, *outcome)) <= {name}


@pytest.mark.parametrize(("name", "when"), matrix(PARTIES, TOKENS, ["entry-1"]))
async def test_whoever_hangs_the_tokens_are_the_same(pair: Fleet, reference: Reference, name: str, when: int) -> None:
    await whole(pair)
    outcome = await answered(pair, {when: lambda: os.kill(pid_of(pair, name), signal.SIGSTOP)})
    assert set(survived(reference, *outcome)) <= {name}


async def test_nothing_is_left_of_what_was_asked_again(pair: Fleet, reference: Reference) -> None:
    """Of several queries at once, of which each loses the dealer, both entries and a relay after one another."""
    await whole(pair)
    victims = iter((DEALER, *ENTRIES, "relay-1"))
    disturb = {3 + 5 * number: lambda: pair.kill(next(victims)) for number in range(4)}
    asked = (answered(pair, {} if number else disturb, each) for number, each in enumerate(PROMPTS))
    told = [survived(reference, *outcome) for outcome in await asyncio.gather(*asked)]
    assert told[0] == [DEALER, *ENTRIES, "relay-1"] and all(told)
    left = await kept(pair)
    assert left.keys() == {"guard", *ENTRIES, DEALER, "layers-0.0", "layers-0.1"}
    assert not any(left.values()), left


async def test_all_go_by_the_number_format_of_the_entry_that_is_there(
    launcher: LocalLauncher, folder: Path, reference: Reference, tmp_path: Path
) -> None:
    """Whether it comes back alone, while another is starting or, in the whole matrix, along with all of them."""
    roles = {"entry_0": "unfed_rogues:Moody"}
    async with fleet_of(launcher, tmp_path, folder, roles, shards=1, relays=0) as fleet:

        def alone() -> None:
            fleet.kill("entry-0")

        def together() -> None:
            for name in (*ENTRIES, DEALER):
                fleet.kill(name)

        def meanwhile() -> None:
            fleet.kill("entry-1")
            starting = until(lambda: state_of(fleet, "entry-1").health == "restarting")
            asyncio.ensure_future(starting).add_done_callback(lambda _: fleet.kill("entry-0"))

        chosen = (alone, together, meanwhile) if os.environ.get("UNFED_WHOLE_MATRIX") else (alone, meanwhile)
        for disturb in chosen:
            assert survived(reference, *await answered(fleet, {3: disturb}))
            await whole(fleet)
        log = Path(state_of(fleet, "entry-0").log).read_text()
        found = [line.partition("found ")[2] for line in log.splitlines() if "found Format" in line]
        assert len(found) == len(set(found)) == 1 + len(chosen)
