"""Parties of `unfed` that die or hang in the middle: the answer is what it would have been, over whoever is left."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from disturbing import SLOW, disturbed, matrix, notes, whole
from random_models import save_llama
from real_fleets import Outcome, ask, pid_of, running, state_of, until, with_roles

from unfed.backends.unfed.backend import Unfed
from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.console.runner.models import read_card
from unfed.plugins import Event, Plan, Route, Token

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

PROMPT = "one two three"
"""The model goes on for 64 tokens and more."""
TOKENS = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("llama"), layers=4, hidden=32)


def plan(folder: Path, **options: Any) -> Plan:
    options = {"shards": 2, "check_rate": 1e-9, **options}
    return Unfed().plan({"model": read_card(folder)}, Unfed.Options(**options))


def fleet_of(launcher: LocalLauncher, tmp: Path, folder: Path, **options: Any) -> Any:
    return running(launcher, plan(folder, **options), tmp, models={"model": read_card(folder)}, link=SLOW)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pair(
    launcher: LocalLauncher, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Fleet, Outcome]]:
    """Two nodes for each range of layers, and what an undisturbed answer is."""
    async with fleet_of(launcher, tmp_path_factory.mktemp("pair"), folder, replicas=2) as fleet:
        yield fleet, await ask(fleet, PROMPT, max_new_tokens=TOKENS)


def in_use(fleet: Fleet, number: int) -> str:
    """The replica of a range that has sent most, which is the one that an answer under way goes over."""
    both = [state for state in fleet.parties() if state.name.startswith(f"layers-{number}.")]
    return max(both, key=lambda state: state.messages_out).name


PARTIES = ["guard", "relay-0", "relay-1", "relay-2", "entry-0", "entry-1", "layers-0.0", "layers-1.1"]


@pytest.mark.parametrize(("name", "when"), matrix(PARTIES, TOKENS))
async def test_whoever_is_killed_the_answer_is_the_same(pair: tuple[Fleet, Outcome], name: str, when: int) -> None:
    fleet, right = pair
    await whole(fleet)
    outcome = await disturbed(fleet, PROMPT, {when: lambda: fleet.kill(name)}, TOKENS)
    assert outcome.failure is None, outcome.failure
    assert outcome.answer.token_ids == right.answer.token_ids


async def test_a_retry_is_told_of(pair: tuple[Fleet, Outcome]) -> None:
    fleet, right = pair
    await whole(fleet)
    outcome = await disturbed(fleet, PROMPT, {5: lambda: fleet.kill("entry-0")}, TOKENS)
    assert outcome.answer.token_ids == right.answer.token_ids
    assert [(note.kind, note.party) for note in notes(outcome)] == [("retry", "entry-0")]
    assert "from token" in notes(outcome)[0].text and not notes(right)


async def test_a_token_that_was_chosen_is_shown_once_whoever_is_lost_then(
    launcher: LocalLauncher, folder: Path, tmp_path: Path
) -> None:
    made = with_roles(plan(folder, checks="none", relays=0), {"client": "unfed_rogues:Unlucky"})
    async with running(launcher, made, tmp_path, models={"model": read_card(folder)}) as fleet:
        outcome, right = [await ask(fleet, PROMPT, max_new_tokens=8) for _ in range(2)]
        assert [note.text for note in notes(outcome)] == ["lost; asked again from token 3 on"]
        assert outcome.answer.token_ids == right.answer.token_ids
        assert [event.id for event in outcome.events if isinstance(event, Token)] == list(outcome.answer.token_ids)


def routes(outcome: Outcome) -> list[Route]:
    return [event for event in outcome.events if isinstance(event, Route)]


async def test_the_way_is_told_with_the_names_in_use_and_again_once_it_is_another(pair: tuple[Fleet, Outcome]) -> None:
    fleet, right = pair
    await whole(fleet)
    before = {state.name: state.messages_out for state in fleet.parties()}
    undisturbed = await ask(fleet, PROMPT, max_new_tokens=TOKENS)
    (steps,) = {route.steps for route in routes(undisturbed)}
    one, other = steps[3][0], steps[4][0]
    assert one.startswith("layers-0") and other.startswith("layers-1")
    there = (("guard",), ("relay-0", "relay-1"), ("entry-0", "entry-1"))
    assert steps == (*there, (one,), (other,), ("relay-2",), ("guard",))
    for name in (one, other):  # the one that is named is the one that works
        twin = f"{name[:-1]}{1 - int(name[-1])}"
        await until(lambda name=name: state_of(fleet, name).messages_out - before[name] >= TOKENS)  # type: ignore[misc]
        assert state_of(fleet, twin).messages_out - before[twin] < TOKENS
    first, *later = routes(undisturbed)
    assert first.seconds is None and later and all(route.seconds for route in later)
    assert 0 < (later[-1].seconds or 0) < undisturbed.finished.total

    way: list[Route] = []
    killed: list[str] = []

    def heard(event: Event) -> None:
        if isinstance(event, Route):
            way.append(event)
        elif isinstance(event, Token) and not killed:
            killed.append(way[-1].steps[3][0])
            fleet.kill(killed[0])

    outcome = await ask(fleet, PROMPT, on_event=heard, max_new_tokens=TOKENS)
    assert outcome.answer.token_ids == right.answer.token_ids
    before_it, after_it = dict.fromkeys(route.steps for route in way)
    assert (killed[0],) in before_it and (killed[0],) not in after_it
    assert after_it[3][0].startswith("layers-0") and len(after_it) == len(steps)


async def test_a_way_is_told_at_most_twice_a_second(pair: tuple[Fleet, Outcome]) -> None:
    fleet, _ = pair
    await whole(fleet)
    outcome = await ask(fleet, PROMPT, max_new_tokens=64)
    assert len(routes(outcome)) <= 3 + outcome.finished.total / 0.5  # the way, the first figure, and the last


@pytest.mark.parametrize("name", ["layers-1", "entry-1", "relay-2"])
async def test_whoever_hangs_the_answer_is_the_same(pair: tuple[Fleet, Outcome], name: str) -> None:
    fleet, right = pair
    await whole(fleet)

    def stop() -> None:
        os.kill(pid_of(fleet, in_use(fleet, 1) if name == "layers-1" else name), signal.SIGSTOP)

    outcome = await disturbed(fleet, PROMPT, {4: stop}, TOKENS)
    assert outcome.failure is None, outcome.failure
    assert outcome.answer.token_ids == right.answer.token_ids


async def test_two_lost_at_once(pair: tuple[Fleet, Outcome]) -> None:
    fleet, right = pair
    await whole(fleet)
    victims = "layers-0.0", "layers-1.0", "guard"
    outcome = await disturbed(fleet, PROMPT, {7: lambda: [fleet.kill(name) for name in victims]}, TOKENS)
    assert outcome.answer.token_ids == right.answer.token_ids


async def test_ten_kills_during_one_answer(pair: tuple[Fleet, Outcome]) -> None:
    fleet, _ = pair
    await whole(fleet)
    right = await ask(fleet, PROMPT, max_new_tokens=64)
    killed: list[str] = []

    def kill(number: int) -> None:
        name = in_use(fleet, number % 2)
        if state_of(fleet, name).health != "ready":
            name = f"{name[:-1]}{1 - int(name[-1])}"
        killed.append(name)
        fleet.kill(name)

    disturb = {4 + 5 * number: lambda number=number: kill(number) for number in range(10)}
    fleet._repairs._deaths.clear()
    outcome = await disturbed(fleet, PROMPT, disturb, 64)
    assert outcome.failure is None, (outcome.failure, killed)
    assert len(killed) == 10
    assert outcome.answer.token_ids == right.answer.token_ids
    assert len([note for note in notes(outcome) if note.kind == "retry"]) >= 3, "some of them were in use"


async def test_keys_are_never_used_again(launcher: LocalLauncher, folder: Path, tmp_path: Path) -> None:
    """What an entry takes out of its cells after a retry has nothing in common with what it took before."""
    made = running(
        launcher,
        plan(folder, replicas=2),
        tmp_path,
        models={"model": read_card(folder)},
        link=SLOW,
        views=tmp_path / "views",
    )
    async with made as fleet:
        outcome = await disturbed(fleet, PROMPT, {5: lambda: fleet.kill("relay-0")}, TOKENS)
        assert notes(outcome)
        seen: list[bytes] = []
        for view, _, _ in outcome.settlement.views:
            if view.party == "entry-0":
                for entry in view:
                    if entry.name == "keys":
                        rows = entry.arrays["root"].numpy()
                        seen += [row.tobytes() for row in rows]
        assert len(seen) > TOKENS and len(set(seen)) == len(seen)


async def test_without_a_replica_whoever_takes_its_place_goes_on(
    launcher: LocalLauncher, folder: Path, tmp_path: Path
) -> None:
    async with fleet_of(launcher, tmp_path, folder) as fleet:
        right = await ask(fleet, PROMPT, max_new_tokens=TOKENS)
        for name in ("layers-0", "layers-1"):
            outcome = await disturbed(fleet, PROMPT, {5: lambda name=name: fleet.kill(name)}, TOKENS)
            assert outcome.answer.token_ids == right.answer.token_ids
        # The verifier is missed by nobody but by checks.
        outcome = await disturbed(fleet, PROMPT, {5: lambda: fleet.kill("verifier")}, TOKENS)
        assert outcome.answer.token_ids == right.answer.token_ids and not notes(outcome)


async def test_who_never_comes_back_is_named(
    launcher: LocalLauncher, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = with_roles(plan(folder), {"client": "unfed_rogues:Impatient"})
    async with running(launcher, made, tmp_path, models={"model": read_card(folder)}, link=SLOW) as fleet:
        monkeypatch.setattr(fleet._repairs, "_may_come_back", lambda name: False)
        outcome = await disturbed(fleet, PROMPT, {5: lambda: fleet.kill("layers-1")}, TOKENS, 10.0)
        assert outcome.failure is not None
        assert (outcome.failure.kind, outcome.failure.party) == ("party-lost", "layers-1")
        assert outcome.seconds < 10
