"""The face of `mpc-crypten`: its plan and guarantee, and what is said where CrypTen is not installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from unfed.backends.mpc_crypten.backend import DEALER, INSTALL, NODES, MpcCrypten
from unfed.console.cli.commands import console
from unfed.console.runner.models import read_card
from unfed.plugins import Plan
from unfed.plugins.host import PluginHost

DEMO = Path(__file__).parents[2] / "profiles" / "demo" / "model"


@pytest.fixture
def plan() -> Plan:
    return MpcCrypten().plan({"model": read_card(DEMO)}, MpcCrypten.Options()).check()


def test_it_is_found_by_its_entry_point() -> None:
    assert PluginHost().backend("mpc-crypten") is MpcCrypten


def test_the_face_imports_neither_crypten_nor_torch() -> None:
    code = (
        "import sys, unfed.backends.mpc_crypten.backend;"
        "sys.exit(', '.join({'torch', 'transformers', 'crypten', 'omegaconf', 'onnx'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_weights_are_public_to_the_nodes_and_to_nobody_else(plan: Plan) -> None:
    opens = {party.name: party.opens.get("model", ("none",)) for party in plan.parties}
    assert opens == {"client": ("config",), **dict.fromkeys(NODES, ("all",)), DEALER: ("none",)}
    exposed = {claim.against for claim in plan.guarantee if claim.asset == "weights" and not claim.denies}
    assert exposed == {(node,) for node in NODES}
    assert set(plan.peers(DEALER)) == set(NODES), "the dealer and the client have no link"


def test_it_promises_against_one_party_and_says_what_two_would_learn(plan: Plan) -> None:
    for asset in ("prompt", "output"):
        held = {c.against: c for c in plan.guarantee if c.asset == asset and c.property == "confidentiality"}
        alone = {against for against, claim in held.items() if claim.denies and against != ("network",)}
        assert alone == {(NODES[0],), (NODES[1],), (DEALER,)}
        assert {against for against, claim in held.items() if not claim.denies} == {
            NODES,
            (NODES[0], DEALER),
            (NODES[1], DEALER),
        }
        assert all(held[against].reveals == ("length",) for against in alone)
    wrong = [claim for claim in plan.guarantee if claim.property == "integrity"]
    assert wrong and not any(claim.denies for claim in wrong)
    assert all("fails at random" in " ".join(claim.assumes) for claim in wrong)


@pytest.mark.parametrize("command", [["backends", "mpc-crypten"], ["doctor"]])
def test_where_crypten_is_missing_its_install_command_is_shown(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec

    def without(name: str, *rest: Any) -> ModuleSpec | None:
        return None if name == "crypten" else real(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    shown = " ".join(CliRunner().invoke(console, command).output.split())
    assert "crypten" in shown and INSTALL in shown
