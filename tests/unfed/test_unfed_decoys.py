"""Decoys of `unfed` on real fleets: nodes cannot tell them from what is asked, and the verifier sees nothing else."""

from __future__ import annotations

import json
import math
import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pytest
import pytest_asyncio
from real_fleets import ask, running
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score

from unfed.backends.unfed.backend import Unfed
from unfed.console.fleet.process import LocalLauncher
from unfed.console.runner.models import read_card
from unfed.plugins import Note
from unfed.plugins.view import Entry

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

DEMO = Path(__file__).parents[2] / "profiles" / "demo" / "model"
TEXTS = [json.loads(line)["prompt"] for line in (DEMO / "decoys.jsonl").read_text().splitlines()]
HALF, TOKENS = len(TEXTS) // 2, 3
ASKED = int(os.environ.get("UNFED_DECOY_SESSIONS", "120"))
"""Real sessions, each of which a decoy follows at a half. More, up to half of the texts, see finer differences."""
AFTER = 7
"""Sessions where the entries run layers: as few as a permutation test at 0.001 can do with, for they take long."""
SEEN = ("guard", "entry-0", "layers-0", "layers-1", "verifier")


class Run(NamedTuple):
    """What each party saw of all sessions, and which of these were decoys."""

    seen: dict[str, list[Entry]]
    decoys: list[bool]


async def run_of(launcher: LocalLauncher, folder: Path, decoys: Iterable[str], asked: int, **more: Any) -> Run:
    """Real prompts from the second half of the texts, and decoys of `decoys`."""
    texts = folder / "decoys.jsonl"
    texts.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in decoys))
    options = Unfed.Options(**{"relays": 0, "shards": 2, "check_rate": 0.5, "decoys": str(texts)} | more)
    card = read_card(DEMO)
    made = Unfed().plan({"model": card}, options)
    kinds: list[bool] = []
    told: list[Note] = []
    heard = {"views": folder / "views", "told": told.append}
    async with running(launcher, made, folder, models={"model": card}, **heard) as fleet:
        for prompt in TEXTS[HALF : HALF + asked]:
            outcome = await ask(fleet, prompt, max_new_tokens=TOKENS)
            assert outcome.failure is None
            assert await fleet.rested()
            assert all("all was as stated" in note.text for note in told)
            kinds += [False, *[True] * len(told)]
            told.clear()
        views = {view.party: view for view, _, _ in (await ask(fleet, TEXTS[-1], max_new_tokens=1)).settlement.views}
        return Run({name: list(view) for name, view in views.items()}, kinds)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def alike(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Run]:
    yield await run_of(launcher, tmp_path_factory.mktemp("alike"), TEXTS[:HALF], ASKED)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def unlike(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Run]:
    long = [
        f"{one} {other} {third}" for one, other, third in zip(TEXTS[:60], TEXTS[60:120], TEXTS[120:180], strict=True)
    ]
    yield await run_of(launcher, tmp_path_factory.mktemp("unlike"), long, 70)


def sessions(run: Run, party: str, within: str) -> list[list[Entry]]:
    """What a party had of each session until it had stated what it did. `within` is the field that names one there."""
    found: dict[bytes, list[Entry]] = {}
    latest: list[Entry] = []
    for entry in run.seen[party]:
        name = entry.fields.get(within) if entry.kind == "message" else None
        if isinstance(name, bytes) and entry.name != "reveal":  # which is asked of decoys, when all is stated
            latest = found.setdefault(name, [])
            latest.append(entry)
        elif entry.kind == "held" or "opened" in entry.arrays or "seed" in entry.fields:
            latest.append(entry)  # rounds and material under MPC are called otherwise
    return list(found.values())[: len(run.decoys)]


def at_guard(run: Run) -> list[list[Entry]]:
    """Cells of the circuits to the first entry: three circuits are opened at once, and one alone to the verifier."""
    entries = [entry for entry in run.seen["guard"] if entry.kind == "message" and entry.sender == "client"]
    first, number = [], 0
    while number < len(entries):
        three = [each.name for each in entries[number : number + 3]] == ["open"] * 3
        if three:
            first.append(entries[number].fields["circuit"])
        number += 3 if three else 1
    return [[e for e in run.seen["guard"] if e.fields.get("circuit") == name] for name in first][: len(run.decoys)]


def size(entry: Entry) -> int:
    data = entry.fields.get("data")
    return len(data) if isinstance(data, bytes) else sum(len(array.data) for array in entry.arrays.values())


def differs(one: np.ndarray, other: np.ndarray) -> float:
    """p of a permutation test on the difference of means (Edgington; 4000 draws)."""
    random, both = np.random.default_rng(), np.concatenate([one, other])
    wanted = abs(one.mean() - other.mean())
    drawn = [random.permutation(both) for _ in range(4000)]
    off = [abs(each[: len(one)].mean() - each[len(one) :].mean()) for each in drawn]
    return float((1 + sum(each >= wanted - 1e-9 for each in off)) / 4001)


def at(run: Run, party: str) -> list[list[Entry]]:
    return at_guard(run) if party == "guard" else sessions(run, party, "circuit" if party == "entry-0" else "session")


T = TypeVar("T")


def apart(found: list[T], run: Run) -> tuple[list[T], list[T]]:
    """Of sessions that came after a real one: as many real ones as decoys."""
    assert len(found) == len(run.decoys)
    after = [
        (each, decoy) for each, decoy, before in zip(found[1:], run.decoys[1:], run.decoys, strict=False) if not before
    ]
    real, decoys = ([each for each, decoy in after if decoy == kind] for kind in (False, True))
    few = min(len(real), len(decoys))
    assert few > len(found) // 5
    return real[:few], decoys[:few]


@pytest.mark.parametrize("party", SEEN[:4])
async def test_messages_of_decoys_are_as_many_and_as_large(alike: Run, party: str) -> None:
    real, decoys = apart(at(alike, party), alike)
    for measure in (len, lambda entries: sum(map(size, entries))):
        assert differs(*(np.array([measure(each) for each in kind], float) for kind in (real, decoys))) > 0.001


@pytest.mark.parametrize("party", SEEN[:4])
async def test_the_same_test_tells_decoys_that_are_longer(unlike: Run, party: str) -> None:
    real, decoys = apart(at(unlike, party), unlike)
    sizes = [np.array([sum(map(size, each)) for each in kind], float) for kind in (real, decoys)]
    assert differs(*sizes) < 0.01


def accuracy(real: list[list[float]], decoys: list[list[float]]) -> tuple[float, float]:
    """Of a classifier of sessions, and half of its 99.99% interval at chance."""
    labels = np.repeat([0, 1], [len(real), len(decoys)])
    folds, model = StratifiedKFold(10, shuffle=True, random_state=1), GradientBoostingClassifier(random_state=1)
    score = float(cross_val_score(model, np.array([*real, *decoys]), labels, cv=folds).mean())
    return score, 3.89 * math.sqrt(0.25 / len(labels))


def contents(run: Run) -> list[list[float]]:
    """What the first of the layers has of each session: rows of the embedding, how many, and when they came."""
    found = []
    for entries in at(run, "layers-0"):
        rows = np.concatenate([entry.arrays["rows"].numpy() for entry in entries if entry.name == "rows"])
        times = np.array([entry.at for entry in entries if entry.name == "share"])
        gaps = np.diff(times)
        found.append([*rows.mean(0), len(rows), gaps.mean(), gaps.max(), np.ptp(times)])
    return found


def gaps(run: Run, party: str) -> list[list[float]]:
    """Seconds between what a party had of each session, until it was to state what it did."""
    wanted = ("open", "cell") if party in ("guard", "entry-0") else ("share", "forward", "over")
    times = [[entry.at for entry in entries if entry.name in wanted] for entries in at(run, party)]
    few = min(map(len, times))
    assert few > TOKENS - 1
    return [list(np.diff(each[:few])) for each in times]


async def test_a_classifier_at_the_first_layers_is_no_better_than_chance(alike: Run) -> None:
    real, decoys = apart(contents(alike), alike)
    score, half = accuracy(real, decoys)
    print(f"decoys told from {len(real)} real sessions: {score:.3f}, chance 0.5 ± {half:.3f}")
    assert score < 0.5 + half


@pytest.mark.parametrize("party", SEEN[:4])
async def test_a_classifier_of_times_is_no_better_than_chance(alike: Run, party: str) -> None:
    real, decoys = apart(gaps(alike, party), alike)
    score, half = accuracy(real, decoys)
    print(f"decoys told from {len(real)} real sessions by times at {party}: {score:.3f}, chance 0.5 ± {half:.3f}")
    assert score < 0.5 + half


async def test_the_same_classifier_tells_decoys_that_are_longer(unlike: Run) -> None:
    score, half = accuracy(*apart(contents(unlike), unlike))
    print(f"longer decoys told: {score:.3f}")
    assert score > 0.5 + half * 2.58 / 3.89, "its 99% interval, for these are few"


async def test_the_same_classifier_tells_decoys_whose_second_message_comes_two_milliseconds_later(alike: Run) -> None:
    real, decoys = apart(gaps(alike, "guard"), alike)
    score, half = accuracy(real, [[each[0] + 0.002, *each[1:]] for each in decoys])
    print(f"later decoys told: {score:.3f}")
    assert score > 0.5 + half


async def test_the_verifier_sees_decoys_alone(alike: Run) -> None:
    """Hidden states that layers-1 received: all of the decoys' are at the verifier, none of what was asked."""
    haystack = b"".join(array.data for entry in alike.seen["verifier"] for array in entry.arrays.values())
    fields = b"".join(entry.frame for entry in alike.seen["verifier"])
    assert haystack
    assert any(alike.decoys) and not all(alike.decoys)
    for entries, decoy in zip(at(alike, "layers-1"), alike.decoys, strict=True):
        messages = [entry for entry in entries if entry.name == "forward"]
        assert len(messages) >= TOKENS - 1
        for entry in messages:
            row = entry.arrays["hidden"].data[-4 * 128 :]
            assert (row in haystack) == decoy
            assert entry.fields["session"] not in fields


async def test_what_the_verifier_sees_does_not_depend_on_the_prompt(alike: Run) -> None:
    """After each decoy, whatever was asked, a circuit with one question, and what each node opens."""
    names = [entry.name for entry in alike.seen["verifier"] if entry.kind == "message"]
    once = ["open", "cell", "reveal", "reveal", "close"]
    times = sum(alike.decoys)
    assert names[: 1 + 5 * times] == ["directory", *once * times]


# -- where the entries run layers


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def after(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Run]:
    yield await run_of(launcher, tmp_path_factory.mktemp("after"), TEXTS[:HALF], AFTER, check_rate=1, mpc_layers=1)


@pytest.mark.parametrize("party", [*SEEN[:4], "dealer"])
async def test_messages_of_decoys_are_as_many_and_as_large_where_the_entries_run_layers(after: Run, party: str) -> None:
    """Steps that are prepared, material and rounds among them."""
    found = at(after, party)
    assert len(found) == len(after.decoys) and min(map(len, found)) > TOKENS
    for measure in (len, lambda entries: sum(map(size, entries))):
        measured, decoys = np.array([measure(each) for each in found], float), np.array(after.decoys)
        assert differs(measured[~decoys], measured[decoys]) > 0.001


async def test_the_verifier_sees_shares_of_decoys_alone(after: Run) -> None:
    haystack = b"".join(array.data for entry in after.seen["verifier"] for array in entry.arrays.values())
    for entries, decoy in zip(at(after, "layers-0"), after.decoys, strict=True):
        shares = [entry.arrays["share"].data for entry in entries if entry.name == "hidden_share"]
        assert len(shares) == 2 * TOKENS
        for share in shares:
            assert (share[-8 * 128 :] in haystack) == decoy


async def test_what_the_verifier_sees_does_not_depend_on_the_prompt_where_the_entries_run_layers(after: Run) -> None:
    names = [entry.name for entry in after.seen["verifier"] if entry.kind == "message"]
    once = ["open", "cell", *["reveal"] * 4, "close"]
    times = sum(after.decoys)
    assert times == AFTER and names[: 1 + 7 * times] == ["directory", *once * times]
