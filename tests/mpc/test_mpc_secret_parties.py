"""`mpc` with secret weights on real fleets: right answers, and what each party sees of weights and prompts."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
import random_models
from real_fleets import alive, ask, began, pid_of, running, with_roles
from reference import Reference
from uniform import is_uniform

from unfed.backends.mpc.backend import DEALER, NODES, OWNER, Mpc
from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.console.runner.models import read_card
from unfed.plugins import Entry, Finished, ModelCard, Plan, Query, UnfedError
from unfed.plugins.view import View

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

DEMO = Path(__file__).parents[2] / "profiles" / "demo" / "model"
PROMPTS = ("a large body of salt water", "someone who studies the stars", "the act of moving a heavy thing")


def plan(card: ModelCard, **roles: str) -> Plan:
    return with_roles(Mpc().plan({"model": card}, Mpc.Options(weights="secret", pool=0)), roles)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fleet(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    card = read_card(DEMO)
    async with running(launcher, plan(card), tmp_path_factory.mktemp("mpc"), models={"model": card}) as fleet:
        yield fleet


async def test_greedy_tokens_are_those_of_generate(fleet: Fleet) -> None:
    reference = Reference(DEMO)
    for prompt in PROMPTS:
        assert list((await ask(fleet, prompt)).answer.token_ids) == reference.greedy(prompt, 64)


async def test_logits_are_close(fleet: Fleet) -> None:
    query = Query(id="close", prompt=PROMPTS[0], max_new_tokens=3, logits=True)
    events = [event async for event in fleet.ask(query, 60)]
    await fleet.settle(query.id)
    assert Reference(DEMO).error(query.prompt, events) <= 0.01
    assert isinstance(events[-1], Finished)


async def test_the_owner_alone_opens_the_model_and_is_linked_to_the_nodes_alone() -> None:
    made = plan(read_card(DEMO))
    opens = {party.name: party.opens["model"] for party in made.parties}
    assert opens == {"client": ("config",), OWNER: ("all",), **dict.fromkeys((*NODES, DEALER), ("config",))}
    assert set(made.peers(OWNER)) == set(NODES)
    kept = {c.against: c for c in made.guarantee if c.asset == "weights"}
    alone = {(NODES[0],), (NODES[1],), (DEALER,)}
    assert {against for against, claim in kept.items() if claim.denies} == alone
    assert all(kept[against].basis == "computational" and kept[against].reveals for against in alone)
    assert {against for against, claim in kept.items() if not claim.denies} == {
        NODES,
        (NODES[0], DEALER),
        (NODES[1], DEALER),
    }


async def views(launcher: LocalLauncher, folder: Path, model: Path, prompt: str) -> dict[str, list[Entry]]:
    """What each party received or held, on a fleet of its own that is asked `prompt`."""
    card, recorded = read_card(model), folder / "views"
    more = {"models": {"model": card}, "views": recorded, "variant": "v"}
    async with running(launcher, plan(card), folder, **more) as fleet:
        events = [event async for event in fleet.ask(Query(id="same", prompt=prompt, max_new_tokens=2), 60)]
        assert isinstance(events[-1], Finished), events[-1]
        await fleet.settle("same")
    files = [path for path in recorded.rglob("*") if path.is_file()]
    return {
        name: list(View(name, next(path for path in files if name in path.name))) for name in (*NODES, DEALER, OWNER)
    }


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def seen(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, list[Entry]]]:
    """Views of one prompt on two models of one shape, and of another prompt of as many tokens on the second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(random_models, "LOUDER", 1.0)
        folders = [
            random_models.save_llama(tmp_path_factory.mktemp("m"), layers=1, hidden=64, seed=seed) for seed in (0, 1)
        ]
    asked = [(folders[0], "a long animal"), (folders[1], "a long animal"), (folders[1], "a large mind")]
    return [await views(launcher, tmp_path_factory.mktemp("v"), *each) for each in asked]


def arrays(entries: list[Entry], query: str) -> list[np.ndarray]:
    """Of messages before (`query` is empty) or during a query."""
    return [
        np.frombuffer(array.data, np.uint64)
        for entry in entries
        if entry.kind == "message" and entry.query == query
        for array in entry.arrays.values()
        if array.dtype == "int64"
    ]


async def test_all_that_a_node_receives_of_weights_is_spread_evenly(seen: list[dict[str, list[Entry]]]) -> None:
    """Whatever the weights: from the owner a seed, or what is left of them under one, and from its peer masked ones."""
    for each in seen:
        sizes = {}
        for node in NODES:
            received = arrays(each[node], "")
            assert all(is_uniform(array) for array in received)
            sizes[node] = sum(array.size for array in received)
        assert sizes[NODES[1]] > 1.9 * sizes[NODES[0]] > 0, "the second node has its share besides what both open"
        assert not any(entry.kind == "held" for node in NODES for entry in each[node]), "nodes hold no weights"


async def test_no_two_fleets_share_or_mask_alike(seen: list[dict[str, list[Entry]]]) -> None:
    """The same model twice: not a number in common."""
    for node in NODES:
        first, second = (np.concatenate(arrays(each[node], "")) for each in seen[1:])
        assert first.shape == second.shape and not np.intersect1d(first, second).size


async def test_all_that_nodes_open_in_queries_is_spread_evenly(seen: list[dict[str, list[Entry]]]) -> None:
    for each in seen:
        for node in NODES:
            rounds = [e.arrays["opened"].data for e in each[node] if e.query == "same" and "opened" in e.arrays]
            assert is_uniform(np.concatenate([np.frombuffer(data, np.uint64) for data in rounds]))


async def test_the_dealer_sees_lengths_and_the_format_alone(seen: list[dict[str, list[Entry]]]) -> None:
    def told(entries: list[Entry], *, queries: bool) -> list[object]:
        return sorted(
            (e.sender, e.name, repr(sorted(e.fields.items()))) for e in entries if bool(e.query) == queries and e.fields
        )

    first, other_weights, other_prompt = (each[DEALER] for each in seen)
    assert told(first, queries=True) == told(other_weights, queries=True) == told(other_prompt, queries=True) != []
    assert told(other_weights, queries=False) == told(other_prompt, queries=False) != []
    assert {entry.name for entry in first if not entry.query} == {"masks"}
    assert not any(entry.arrays for each in seen for entry in each[DEALER])


async def test_nothing_ever_reaches_the_owner_once_nodes_have_started(seen: list[dict[str, list[Entry]]]) -> None:
    for each in seen:
        messages = [entry for entry in each[OWNER] if entry.kind == "message"]
        assert {entry.name for entry in messages} == {"format", "first_share", "second_share"}
        assert all(entry.query == "" and not entry.arrays for entry in messages)
        asked = [(entry.sender, entry.name, entry.fields) for entry in messages]
        assert sorted(asked, key=repr) == sorted(
            [
                *((node, "format", {}) for node in NODES),
                (NODES[0], "first_share", {}),
                (NODES[1], "second_share", {"start": 0}),
            ],
            key=repr,
        )


@pytest.mark.parametrize(
    ("roles", "party", "message"),
    [
        ({"owner": "mpc_rogues:Dying"}, OWNER, "owner: (process .* was killed|the connection ended)"),
        ({"owner": "mpc_rogues:TwoFaced"}, OWNER, "different formats"),
        ({"owner": "mpc_rogues:Stingy"}, OWNER, "no share of the weights"),
        ({"compute_1": "mpc_rogues:Curious"}, NODES[1], "only compute-0"),
        ({"compute_1": "mpc_rogues:Contrary"}, NODES[1], "otherwise than its peer"),
    ],
)
async def test_whoever_fails_or_misbehaves_at_start_is_named(
    launcher: LocalLauncher, tmp_path: Path, roles: dict[str, str], party: str, message: str
) -> None:
    card = read_card(DEMO)
    with pytest.raises(UnfedError, match=message) as raised:
        async with running(launcher, plan(card, **roles), tmp_path, models={"model": card}):
            pass
    assert raised.value.failure.party == party


@pytest.mark.parametrize("victim", [*NODES, DEALER, OWNER])
async def test_a_party_killed_in_mid_answer_is_named(launcher: LocalLauncher, tmp_path: Path, victim: str) -> None:
    """The owner too: nobody needs it any more, but a fleet that lost a party is no fleet."""
    card = read_card(DEMO)
    async with running(launcher, plan(card), tmp_path, models={"model": card}) as fleet:
        pids = [state.pid for state in fleet.parties()]
        task = await began(fleet, "a feeling of great joy")
        os.kill(pid_of(fleet, victim), signal.SIGKILL)
        outcome = await task
        assert outcome.failure is not None and outcome.failure.party == victim
        assert outcome.seconds < 5
    assert not alive(pids)


async def test_an_owner_can_be_replaced_and_nobody_else(launcher: LocalLauncher, tmp_path: Path) -> None:
    card = read_card(DEMO)
    async with running(launcher, plan(card), tmp_path, models={"model": card}) as fleet:
        before = (await ask(fleet, PROMPTS[0])).answer.token_ids
        await fleet.restart(OWNER)
        assert (await ask(fleet, PROMPTS[0])).answer.token_ids == before
        await fleet.restart(DEALER)
        failure = (await ask(fleet, PROMPTS[0])).failure
        assert failure is not None and failure.party == DEALER and failure.hint == "start the fleet anew"
        with pytest.raises(UnfedError, match="nodes do that together"):
            await fleet.restart(NODES[0])
