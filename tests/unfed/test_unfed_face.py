"""The plan of `unfed`: who is linked to whom, who opens what, and what is promised."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from random_models import save_gpt2, save_llama

from unfed.backends.unfed.backend import Unfed
from unfed.backends.unfed.names import DEALER, ENTRIES, GUARD, VERIFIER
from unfed.backends.unfed.promises import TOGETHER
from unfed.console.runner.models import read_card
from unfed.plugins import Plan, UnfedError, badge


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("llama"), layers=4, hidden=32)


def plan(folder: Path, **options: Any) -> Plan:
    return Unfed().plan({"model": read_card(folder)}, Unfed.Options(**options)).check()


@pytest.mark.parametrize("relays", [0, 1, 2, 3])
@pytest.mark.parametrize("shards", [1, 2, 4])
def test_the_client_reaches_the_guard_alone_and_entries_do_not_reach_each_other(
    folder: Path, relays: int, shards: int
) -> None:
    made = plan(folder, relays=relays, shards=shards)
    assert made.peers("client") == (GUARD,) and made.private_ids
    for entry, other in (ENTRIES, ENTRIES[::-1]):
        assert other not in made.peers(entry) and "layers-0" in made.peers(entry)
    assert len(made.parties) == 1 + 1 + 4 * relays + 2 + shards + 1
    for party in made.processes():
        assert party in ("client", VERIFIER) or made.known(party) == ()
    assert (made.known(VERIFIER) == ENTRIES and GUARD not in made.peers(VERIFIER)) or not relays


def test_without_checks_nobody_verifies_and_the_client_knows_its_circuits_alone(folder: Path) -> None:
    made = plan(folder, checks="none")
    assert VERIFIER not in made.processes() and "relay-3" not in made.processes()
    assert not set(made.known("client")) & {"layers-0", "layers-1"}


def test_each_opens_what_it_needs(folder: Path) -> None:
    opens = {party.name: party.opens.get("model", ()) for party in plan(folder, tail=1).parties}
    assert opens["client"] == ("config", "head", "layers 3-3")
    assert opens[GUARD] == opens["relay-2"] == ()
    assert opens["entry-0"] == ("config", "embedding")
    assert [opens[f"layers-{number}"] for number in range(3)] == [
        ("config", f"layers {number}-{number}") for number in range(3)
    ]


def test_where_positions_are_a_table_the_first_layers_open_it(tmp_path: Path) -> None:
    made = plan(save_gpt2(tmp_path / "gpt2", layers=2, hidden=32), shards=2)
    assert made.party("layers-0").opens["model"] == ("config", "embedding", "layers 0-0")


def test_a_tail_of_all_layers_is_refused(folder: Path) -> None:
    with pytest.raises(UnfedError, match=r"tail is 4, and .* has 4 layers"):
        plan(folder, tail=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mpc_layers": 4}, r"mpc_layers is 4, tail is 0, and .* has 4 layers"),
        ({"mpc_layers": 2, "tail": 2}, r"mpc_layers is 2, tail is 2, and .* has 4 layers"),
        ({"mpc_layers": 2, "shards": 5}, "4 layers cannot be split over 5 nodes"),
    ],
)
def test_layers_under_mpc_that_leave_none_to_the_nodes_are_refused(
    folder: Path, options: dict[str, int], message: str
) -> None:
    with pytest.raises(UnfedError, match=message) as caught:
        plan(folder, **options)
    assert caught.value.failure.hint


def test_no_layer_under_mpc_is_the_plan_there_was(folder: Path) -> None:
    assert plan(folder, mpc_layers=0) == plan(folder)
    assert DEALER not in plan(folder).processes()


@pytest.mark.parametrize(("layers", "more"), [(1, {}), (2, {"tail": 1}), (3, {})])
def test_entries_run_the_first_layers_with_a_dealer(folder: Path, layers: int, more: dict[str, int]) -> None:
    """And there are as many nodes as there are layers left to them, or `shards`."""
    made = plan(folder, mpc_layers=layers, **more)
    opens = {party.name: party.opens.get("model", ()) for party in made.parties}
    assert made.peers(DEALER) == ENTRIES and opens[DEALER] == ("config",)
    for entry, other in (ENTRIES, ENTRIES[::-1]):
        assert set(made.peers(entry)) == {f"relay-{entry[-1]}", other, DEALER, "layers-0", VERIFIER}
        assert opens[entry] == ("config", "embedding", f"layers 0-{layers - 1}")
    nodes = [name for name in opens if name.startswith("layers")]
    left = 4 - layers - more.get("tail", 0)
    assert [opens[name] for name in nodes] == [
        ("config", f"layers {number}-{number}") for number in range(layers, layers + left)
    ]
    assert made.peers("client") == (GUARD,) and VERIFIER not in made.peers(DEALER)
    assert DEALER in made.known("client"), "it has to know when one that is in doubt was replaced"
    unchecked = plan(folder, mpc_layers=layers, checks="none", **more)
    assert DEALER not in unchecked.known("client")
    assert not [name for name in unchecked.processes() if VERIFIER in unchecked.peers(name)]


def test_where_positions_are_a_table_the_entries_add_them(tmp_path: Path) -> None:
    made = plan(save_gpt2(tmp_path / "gpt2", layers=2, hidden=32), shards=2, mpc_layers=1)
    assert made.party("layers-0").opens["model"] == ("config", "layers 1-1")


def test_what_is_promised_of_layers_under_mpc(folder: Path) -> None:
    made = plan(folder, mpc_layers=1)
    for asset in ("prompt", "output"):
        kept = {c.against: c for c in made.guarantee if c.asset == asset and c.property == "confidentiality"}
        for party in (*ENTRIES, DEALER):
            assert kept[party,].basis == "computational" and kept[party,].reveals == ("length",)
            assert any("semi-honest" in why for why in kept[party,].assumes)
        for pair in (ENTRIES, (ENTRIES[0], DEALER), (ENTRIES[1], DEALER)):
            assert kept[pair].basis == "none"
    anonymous = {c.against for c in made.guarantee if c.property == "anonymity" and c.denies}
    assert (DEALER,) in anonymous and (GUARD, DEALER) not in anonymous


@pytest.mark.parametrize("checks", ["decoys", "live"])
def test_of_who_computes_together_it_is_promised_that_it_is_found_out_and_no_more(folder: Path, checks: str) -> None:
    """Of the layers' nodes what is promised without MPC."""
    with_it, without = (plan(folder, mpc_layers=layers, shards=2, checks=checks).guarantee for layers in (1, 0))
    caught = {c.against[0]: c for c in with_it if c.property == "integrity" and c.basis == "statistical"}
    assert set(caught) == {*ENTRIES, DEALER, "layers-0", "layers-1"}
    for name in (*ENTRIES, DEALER):
        assumed = " ".join(caught[name].assumes)
        assert "not whose doing it was" in assumed and f"less than {TOGETHER:g} of a row's length" in assumed
        assert all(other in assumed for other in (*ENTRIES, DEALER) if other != name) and caught[name].parameters
    for name in ("layers-0", "layers-1"):
        assert caught[name] in without
    open_to = {c.against for c in with_it if c.property == "integrity" and c.basis == "none"}
    assert {(name, VERIFIER) for name in caught} <= open_to
    told = {(c.asset, c.reveals) for c in with_it if c.against == (VERIFIER,) and c.property == "confidentiality"}
    assert told - {c for c in told if c[0] == "weights"} == {
        (c.asset, c.reveals) for c in without if c.against == (VERIFIER,) and c.asset in ("prompt", "output")
    }


def test_without_checks_nothing_is_promised_of_who_computes_together(folder: Path) -> None:
    claims = [c for c in plan(folder, mpc_layers=1, checks="none").guarantee if c.property == "integrity"]
    assert [c.basis for c in claims] == ["none"] and DEALER in claims[0].against


@pytest.mark.parametrize("layers", [0, 1])
def test_rows_are_declared_open_at_the_first_of_the_layers_alone(folder: Path, layers: int) -> None:
    made = plan(folder, mpc_layers=layers)
    told = {c.against[0] for c in made.guarantee if "embedding rows" in c.reveals}
    assert told == (set() if layers else {"layers-0"})


def test_what_is_promised(folder: Path) -> None:
    claims = plan(folder).guarantee
    held = {(claim.asset, claim.against) for claim in claims if claim.denies}
    for party in (GUARD, "relay-1", *ENTRIES):
        assert {("prompt", (party,)), ("output", (party,))} <= held
    for party in ("layers-0", "layers-2"):
        assert ("prompt", (party,)) not in held and ("identity", (party,)) in held
    assert ("identity", (GUARD,)) not in held and ("prompt", ENTRIES) not in held
    assert badge(claims) == "prompt: exposed", "layers see activations"


@pytest.mark.parametrize(("tail", "told"), [(0, True), (1, False)])
def test_the_last_layer_could_work_out_what_is_likely_unless_the_client_has_a_tail(
    folder: Path, tail: int, told: bool
) -> None:
    (claim,) = (
        c
        for c in plan(folder, tail=tail).guarantee
        if c.asset == "output" and c.against == ("layers-2",) and c.property == "confidentiality"
    )
    assert ("logits" in claim.reveals) == told


@pytest.mark.parametrize(
    ("checks", "with_whom"),
    [("decoys", {GUARD, "relay-3", VERIFIER}), ("live", {VERIFIER}), ("none", set())],
)
def test_a_node_is_not_caught_together_with_whoever_can_hold_checks_back(
    folder: Path, checks: str, with_whom: set[str]
) -> None:
    claims = [claim for claim in plan(folder, checks=checks).guarantee if claim.property == "integrity"]
    assert {claim.against[1] for claim in claims if claim.basis == "none" and len(claim.against) == 2} >= with_whom
    alone = {claim.against for claim in claims if claim.basis == "statistical"}
    nodes = {*ENTRIES, "layers-0", "layers-1", "layers-2"}
    assert alone == ({(name,) for name in nodes} if with_whom else set())
    for claim in claims:
        assert checks == "none" or claim.basis == "statistical" or claim.against[1] in with_whom


def test_nodes_that_need_no_engine_do_not_load_it() -> None:
    """It brings a compiler along: 60 MB and a second for each process."""
    light = "unfed.backends.unfed.nodes.layers, unfed.backends.unfed.nodes.last, unfed.backends.unfed.circuits.hop"
    code = f"import sys, {light}; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
