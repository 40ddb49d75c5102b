"""`unfed` with its first layers under MPC, on real fleets: right answers, what each party sees, and who is at fault."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import torch
from random_models import save_gpt2, save_llama, save_qwen2
from real_fleets import Outcome, ask, log_of, running, with_roles
from reference import Reference
from safetensors.numpy import load_file
from uniform import is_uniform

from unfed.backends.unfed.backend import Unfed
from unfed.backends.unfed.names import DEALER, ENTRIES
from unfed.backends.unfed.promises import TOGETHER
from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.console.runner.models import read_card
from unfed.plugins import Emulation, Note, Phase, Plan, Query, UnfedError
from unfed.plugins.view import Entry

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

DEMO = Path(__file__).parents[2] / "profiles" / "demo" / "model"
PROMPTS = ("a large body of salt water", "someone who studies the stars", "the act of moving a heavy thing")
ALIKE = "a kind of large dog", "a town with a port"
"""Of as many tokens."""
MODELS = {
    "demo": None,
    "llama": partial(save_llama, layers=4, hidden=128, vocab=512),
    "gpt2": partial(save_gpt2, layers=4, hidden=128, vocab=512),
    "qwen2": partial(save_qwen2, layers=4, hidden=128, vocab=512),
}
OFF = 0.005
"""Most that what entries and dealer compute together is off by on these models, of a row's length (0.1 is allowed)."""


def plan(roles: dict[str, str] | None = None, folder: Path = DEMO, **options: Any) -> Plan:
    """Without relays, one node with layers, and decoys next to never, unless told otherwise."""
    chosen = Unfed.Options(**{"mpc_layers": 1, "relays": 0, "shards": 1, "check_rate": 1e-9} | options)
    made = Unfed().plan({"model": read_card(folder)}, chosen)
    return with_roles(made, {name.replace("-", "_"): role for name, role in (roles or {}).items()})


def fleet_of(launcher: LocalLauncher, logs: Path, made: Plan, folder: Path = DEMO, **more: Any) -> Any:
    return running(launcher, made, logs, models={"model": read_card(folder)}, **more)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def audited(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    folder = tmp_path_factory.mktemp("unfed")
    async with fleet_of(launcher, folder, plan(shards=2), views=folder / "views") as fleet:
        yield fleet


# -- answers


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if (save := MODELS[request.param]) is None:
        return DEMO
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("random_models.LOUDER", 1.0)
        return save(tmp_path_factory.mktemp("model") / request.param)


@pytest.mark.parametrize(
    ("folder", "layers", "more"),
    [
        ("demo", 1, {"shards": 2}),
        ("demo", 3, {}),
        ("llama", 2, {"tail": 1}),
        ("gpt2", 3, {}),
        ("qwen2", 2, {"tail": 1}),
    ],
    indirect=["folder"],
)
async def test_tokens_are_plains_logits_are_close_and_honest_parties_are_not_accused(
    launcher: LocalLauncher, tmp_path: Path, folder: Path, layers: int, more: dict[str, int]
) -> None:
    reference = Reference(folder)
    made = plan({"verifier": "unfed_rogues:Telling"}, folder, mpc_layers=layers, check_rate=1, **more)
    told: list[Note] = []
    async with fleet_of(launcher, tmp_path, made, folder, told=told.append) as fleet:
        for prompt in PROMPTS[:2]:
            outcome = await ask(fleet, prompt, max_new_tokens=8, logits=True)
            assert list(outcome.answer.token_ids) == reference.greedy(prompt, 8)
            assert reference.error(prompt, outcome.events) <= 0.01
            assert outcome.finished.offline > 0
            assert await fleet.rested()
        assert [note.text for note in told] == ["a decoy was done again, and all was as stated"] * 2
        off = [float(said) for said in re.findall(r"off by (\S+)", log_of(fleet, "verifier"))]
        assert len(off) == 2 and max(off) < OFF < TOGETHER / 3


async def test_a_prompt_in_parts_is_answered_alike(launcher: LocalLauncher, tmp_path: Path) -> None:
    """With layers of the client's own, whose cache gets the parts one by one."""
    reference = Reference(DEMO)
    async with fleet_of(launcher, tmp_path, plan({"client": "unfed_rogues:Piecemeal"}, tail=1)) as fleet:
        outcome = await ask(fleet, PROMPTS[2], max_new_tokens=8, logits=True)
        assert list(outcome.answer.token_ids) == reference.greedy(PROMPTS[2], 8)
        assert reference.error(PROMPTS[2], outcome.events) <= 0.01


async def test_queries_at_once_do_not_mix(audited: Fleet) -> None:
    alone = [(await ask(audited, prompt)).answer.text for prompt in PROMPTS]
    together = await asyncio.gather(*(ask(audited, prompt) for prompt in PROMPTS))
    assert [outcome.answer.text for outcome in together] == alone


async def test_a_query_that_is_cancelled_disturbs_no_other(launcher: LocalLauncher, tmp_path: Path) -> None:
    """Its circuits are closed while the entries prepare, or are in the middle of a step, on slow links."""
    reference = Reference(DEMO)
    async with fleet_of(launcher, tmp_path, plan(), link=Emulation(delay=0.002)) as fleet:
        other = asyncio.create_task(ask(fleet, PROMPTS[2], max_new_tokens=24, temperature=2.0, seed=7))
        for number in range(8):
            query = Query(id=f"cancelled{number}", prompt=PROMPTS[number % 2], max_new_tokens=64)
            cancelled = False
            async for event in fleet.ask(query, 30):
                if isinstance(event, Phase) and event.name in ("prefill", "randomness") and not cancelled:
                    await asyncio.sleep(0.02 * number)
                    fleet.cancel(query.id)
                    cancelled = True
            await fleet.settle(query.id)
        assert (await other).failure is None
        assert list((await ask(fleet, PROMPTS[0])).answer.token_ids) == reference.greedy(PROMPTS[0], 64)


# -- who sees what


async def seen(fleet: Fleet, prompt: str, **more: Any) -> tuple[Outcome, dict[str, list[Entry]]]:
    """One more query, and what every party saw of it."""
    found = {}
    outcome = await ask(fleet, prompt, **more)
    for view, entries, _ in outcome.settlement.views:
        everything = list(view)
        found[view.party] = everything[len(everything) - entries :]
    return outcome, found


def words(entries: Iterable[Entry], name: str) -> np.ndarray:
    """All numbers of 64 bits that arrived under this name."""
    arrays = [entry.arrays[name] for entry in entries if name in entry.arrays]
    assert arrays
    return np.concatenate([array.numpy().reshape(-1).view(np.uint64) for array in arrays])


@pytest.mark.parametrize("prompt", ALIKE)
async def test_what_entries_open_and_hand_on_is_spread_evenly(audited: Fleet, prompt: str) -> None:
    """Whatever was asked: what an entry gets of its peer, and the shares that layers-0 gets of each of them."""
    views = [(await seen(audited, prompt, max_new_tokens=8))[1] for _ in range(3)]
    for name in ENTRIES:
        rounds = (entry for view in views for entry in view[name] if entry.sender == ENTRIES[1 - ENTRIES.index(name)])
        assert is_uniform(words(rounds, "opened"))
        assert is_uniform(words((e for view in views for e in view["layers-0"] if e.sender == name), "share"))


async def test_keys_at_an_entry_are_never_the_same(audited: Fleet) -> None:
    held: dict[str, list[np.ndarray]] = {name: [] for name in ENTRIES}
    for _ in range(3):
        _, views = await seen(audited, ALIKE[0], max_new_tokens=2)
        for name in ENTRIES:
            held[name].append(words((entry for entry in views[name] if entry.name == "keys"), "root"))
    for roots in held.values():
        numbers = np.concatenate(roots)
        assert len(np.unique(numbers)) == len(numbers) > 20


async def test_the_dealer_learns_lengths_alone(audited: Fleet) -> None:
    """It is told the same of two prompts of as many tokens, but for a name drawn at random."""
    told, names = [], set()
    for prompt in ALIKE:
        _, views = await seen(audited, prompt, max_new_tokens=3)
        assert not any(entry.arrays for entry in views[DEALER]), "no array ever goes to the dealer"
        names |= {entry.fields["session"] for entry in views[DEALER]}
        about = [{k: v for k, v in entry.fields.items() if k != "session"} for entry in views[DEALER]]
        told.append(sorted((e.sender, e.name, sorted(f.items())) for e, f in zip(views[DEALER], about, strict=True)))
    assert told[0] == told[1] != []
    assert len(names) == 2


async def test_sessions_bear_a_name_of_their_own_at_every_party_they_reach(audited: Fleet) -> None:
    _, views = await seen(audited, PROMPTS[0], max_new_tokens=2)
    names: dict[bytes, set[tuple[str, str]]] = {}
    for party, entries in views.items():
        for entry in entries:
            assert entry.query == "", "no id of a query is sent"
            for field in ("circuit", "session"):
                if entry.kind == "message" and field in entry.fields:
                    names.setdefault(entry.fields[field], set()).add((str(entry.sender), party))
    both = [{(name, end) for name in ENTRIES} for end in ("layers-0", DEALER)]
    for links in names.values():
        assert len({frozenset(link) for link in links}) == 1 or links in both
    assert all(links in names.values() for links in both)


@pytest.mark.parametrize("layers", [0, 1])
async def test_rows_of_the_embedding_lie_open_at_layers_0_unless_layers_ran_before(
    launcher: LocalLauncher, tmp_path: Path, layers: int
) -> None:
    """Nothing that it holds is nearer to a row of the table than a thousandth, or the rows of the whole prompt are."""
    table = next(array for name, array in load_file(DEMO / "model.safetensors").items() if "embed_tokens" in name)
    made = plan(mpc_layers=layers)
    async with fleet_of(launcher, tmp_path, made, views=tmp_path / "views") as fleet:
        _, views = await seen(fleet, PROMPTS[0], max_new_tokens=1)
    arrays = [array.numpy() for entry in views["layers-0"] for array in entry.arrays.values()]
    states = [array.reshape(-1, table.shape[1]) for array in arrays if array.dtype == np.float32]
    rows = np.concatenate(states)
    found = {int(np.abs(table - row).max(1).argmin()) for row in rows if np.abs(table - row).max(1).min() < 1e-3}
    prompt = set(Reference(DEMO).ids(PROMPTS[0])[0].tolist())
    assert found == (set() if layers else prompt)
    assert len(rows) >= len(prompt), "it holds what the layers are given, and the result"


async def test_the_deeper_the_reveal_the_fewer_tokens_the_nearest_row_tells() -> None:
    """Of the demo's prompts, from what the model's first layers leave: which is what layers-0 is given, to 0.01."""
    reference = Reference(DEMO)
    rows = torch.nn.functional.normalize(reference.model.get_input_embeddings().weight, dim=-1)
    told, tokens = [0] * 4, 0
    for line in (DEMO.parent / "prompts.jsonl").read_text().splitlines():
        ids = reference.ids(json.loads(line)["prompt"])
        with torch.inference_mode():
            states = reference.model(ids, output_hidden_states=True).hidden_states
        for layers in range(4):
            nearest = (torch.nn.functional.normalize(states[layers][0], dim=-1) @ rows.T).argmax(-1)
            told[layers] += int((nearest == ids[0]).sum())
        tokens += ids.shape[1]
    shares = [each / tokens for each in told]
    assert shares[0] == 1.0 and 0.55 < shares[1] < 0.7 and 0.3 < shares[2] < 0.45 and 0.15 < shares[3] < 0.3


# -- numbers that leave their range


async def test_a_guard_that_falls_is_the_clients_to_know(
    audited: Fleet, launcher: LocalLauncher, tmp_path: Path
) -> None:
    """Its query fails and says why; every other party sees messages as in a query that does not fail."""
    await ask(audited, ALIKE[0], max_new_tokens=1)
    _, usual = await seen(audited, ALIKE[0], max_new_tokens=1)
    made = plan({name: "unfed_rogues:Overflowing" for name in ENTRIES}, shards=2)
    async with fleet_of(launcher, tmp_path, made, views=tmp_path / "views") as fleet:
        await ask(fleet, ALIKE[0])  # whose view begins with how the fleet came up
        outcome, views = await seen(fleet, ALIKE[0], max_new_tokens=1)
        failure = outcome.failure
        assert failure is not None and failure.kind == "role" and failure.party in (None, "client")
        assert "left the range" in failure.message and "mpc_layers=0" in str(failure.hint)
        for name in fleet.plan.processes():
            assert name == "client" or "range" not in log_of(fleet, name)
    assert views.keys() == usual.keys()
    for party in views:
        if party != "client":
            assert shapes(views[party]) == shapes(usual[party])


def shapes(entries: Iterable[Entry]) -> Counter[tuple[object, ...]]:
    """Of the messages that arrived: from whom, what, and how large. Rounds bear the name of their session."""
    return Counter(
        (
            entry.sender,
            "round" if "opened" in entry.arrays else entry.name,
            len(entry.fields.get("data", b"")),
            tuple((name, tuple(array.shape)) for name, array in entry.arrays.items()),
        )
        for entry in entries
        if entry.kind == "message"
    )


# -- who misbehaves


@pytest.mark.parametrize(
    ("rogue", "role", "named", "said"),
    [
        ("entry-1", "Short", "entry-0|entry-1", "does not go with"),
        ("entry-1", "Unscaled", "entry-0|entry-1", "does not go with"),
        ("entry-1", "Greedy", "entry-1", "given once"),
        (DEALER, "Mean", DEALER, "no material"),
        ("client", "Hasty", "guard", "a cell that prepares"),
    ],
)
async def test_a_party_that_misbehaves_is_named(
    launcher: LocalLauncher, tmp_path: Path, rogue: str, role: str, named: str, said: str
) -> None:
    """Of a client an entry knows the hop before it alone."""
    async with fleet_of(launcher, tmp_path, plan({rogue: f"unfed_rogues:{role}"})) as fleet:
        failure = (await ask(fleet, PROMPTS[0], 10)).failure
        assert failure is not None and failure.kind == "protocol"
        assert failure.party in named.split("|") and said in failure.message


async def test_a_model_that_mpc_refuses_is_refused_where_it_would_run_layers(
    launcher: LocalLauncher, tmp_path: Path
) -> None:
    folder = save_llama(tmp_path / "model", layers=2, hidden=32, hidden_act="relu6")
    async with fleet_of(launcher, tmp_path, plan(folder=folder, mpc_layers=0), folder) as fleet:
        assert (await ask(fleet, PROMPTS[0], max_new_tokens=1)).failure is None
    with pytest.raises(UnfedError, match="'relu6' is not supported"):
        async with fleet_of(launcher, tmp_path, plan(folder=folder), folder):
            pass
