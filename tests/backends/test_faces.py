"""The faces of `plain` and `split`: options, plans, guarantees, and that they import nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest

from unfed.backends.plain.backend import Plain
from unfed.backends.split.backend import Split, SplitOptions
from unfed.plugins import ModelCard, Plan, UnfedError, badge, layers
from unfed.plugins.host import PluginHost
from unfed.plugins.options import read_options

CARD = ModelCard(
    name="toy",
    folder="toy",
    family="llama",
    layers=7,
    hidden=8,
    vocab=300,
    context=32,
    parameters=0,
    tied=False,
    config={},
    tensors={},
)


def split(card: ModelCard = CARD, **options: Any) -> Plan:
    return Split().plan({"model": card}, read_options("split", SplitOptions, options)).check()


def test_both_are_found_by_their_entry_points() -> None:
    host = PluginHost()
    assert host.backend("plain") is Plain
    assert host.backend("split") is Split


def test_faces_import_nothing_heavy() -> None:
    code = (
        "import sys, unfed.backends.plain.backend, unfed.backends.split.backend;"
        "heavy = {'torch', 'transformers', 'tokenizers', 'safetensors'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_plain_gives_everything_to_one_server_and_says_so() -> None:
    plan = Plain().plan({"model": CARD}, Plain.Options()).check()
    assert [(party.name, party.opens["model"]) for party in plan.parties] == [
        ("client", ("config",)),
        ("server", ("all",)),
    ]
    assert badge(plan.guarantee) == "prompt: exposed"


def test_plain_takes_any_family() -> None:
    Plain().plan({"model": msgspec.structs.replace(CARD, family="mamba")}, Plain.Options()).check()


@pytest.mark.parametrize("shards", [1, 2, 3, 7])
def test_layers_are_spread_in_order_and_linked_in_a_ring(shards: int) -> None:
    plan = split(shards=shards)
    nodes = [party for party in plan.parties if party.name != "client"]
    assert [node.name for node in nodes] == [f"layers-{index}" for index in range(shards)]
    covered = [index for node in nodes for index in range(node.settings["first"], node.settings["last"] + 1)]
    assert covered == list(range(7))
    for node in nodes:
        first, last = node.settings["first"], node.settings["last"]
        assert node.opens["model"] == ("config", layers(first, last))
        assert set(plan.peers(node.name)) == {node.settings["before"], node.settings["after"]}
    assert plan.parties[0].opens["model"] == ("config", "embedding", "head")
    ring = ["client", *(node.settings["after"] for node in nodes)]
    assert ring == ["client", *(node.name for node in nodes[1:]), "client"]


def test_ends_move_to_the_nodes_with_what_they_open() -> None:
    plan = split(embedding="node", head="node")
    opens = {party.name: party.opens["model"] for party in plan.parties}
    assert opens == {
        "client": ("config",),
        "layers-0": ("config", "layers 0-2", "embedding"),
        "layers-1": ("config", "layers 3-4"),
        "layers-2": ("config", "layers 5-6", "head"),
    }
    settings = {party.name: (party.settings["embedding"], party.settings["head"]) for party in plan.parties}
    assert settings == {
        "client": (False, False),
        "layers-0": (True, False),
        "layers-1": (False, False),
        "layers-2": (False, True),
    }


@pytest.mark.parametrize("ends", [{}, {"embedding": "node"}, {"head": "node"}])
def test_the_guarantee_promises_nothing_against_nodes(ends: dict[str, str]) -> None:
    plan = split(**ends)
    against = {claim.against: claim for claim in plan.guarantee if claim.asset == "prompt"}
    everyone = ("layers-0", "layers-1", "layers-2")
    assert set(against) == {everyone, ("layers-0",), ("layers-1",), ("layers-2",), ("network",)}
    for who, claim in against.items():
        assert claim.denies == (who == ("network",))
        assert who == ("network",) or "activations" in claim.reveals
        assert ("token ids" in claim.reveals) == ("embedding" in ends and "layers-0" in who)
    for claim in plan.guarantee:
        if claim.asset == "output" and claim.property == "confidentiality":
            assert ("logits" in claim.reveals) == ("head" in ends and "layers-2" in claim.against)
    assert badge(plan.guarantee) == "prompt: exposed"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shards": 0}, "shards"),
        ({"shards": 8}, "7 layers cannot be split over 8"),
        ({"shards": "two"}, "shards"),
        ({"wire_dtype": "fp8"}, "wire_dtype"),
        ({"embedding": "cloud"}, "embedding"),
        ({"head": "nowhere"}, "head"),
        ({"shard": 3}, "no option 'shard'"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UnfedError, match=message):
        split(**options)


def test_other_families_are_refused_in_the_plan() -> None:
    with pytest.raises(UnfedError, match="'mamba'"):
        split(msgspec.structs.replace(CARD, family="mamba"))


def test_options_are_documented() -> None:
    assert all(field.description for field in SplitOptions.model_fields.values())
