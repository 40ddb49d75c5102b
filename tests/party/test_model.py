"""A party reads what its plan opens to it, and only that."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from puppets import plan
from real_fleets import act, ask, running, wish
from safetensors.torch import save_file

from unfed.console.fleet.process import LocalLauncher
from unfed.console.party.model import OpenModel
from unfed.console.runner.models import read_card
from unfed.plugins import ModelCard, OpenedModel, Party, UnfedError

CONFIG = (
    '{"model_type": "llama", "num_hidden_layers": 4, "hidden_size": 8, "vocab_size": 16, "tie_word_embeddings": false, '
    '"max_position_embeddings": 32}'
)


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    """Four layers of one matrix each, in two files."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "config.json").write_text(CONFIG)
    first = {"model.embed_tokens.weight": torch.full((16, 8), 0.5)}
    first |= {f"model.layers.{i}.mlp.weight": torch.full((8, 8), float(i)) for i in range(2)}
    second = {f"model.layers.{i}.mlp.weight": torch.full((8, 8), float(i), dtype=torch.bfloat16) for i in (2, 3)}
    second |= {"model.norm.weight": torch.ones(8), "lm_head.weight": torch.ones(16, 8)}
    save_file(first, folder / "model-1.safetensors")
    save_file(second, folder / "model-2.safetensors")
    places = {name: "model-1.safetensors" for name in first} | {name: "model-2.safetensors" for name in second}

    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return read_card(folder)


def opened(card: ModelCard, *parts: str) -> OpenModel:
    return OpenModel("node", OpenedModel(card, parts))


def test_tensors_as_they_are_stored(card: ModelCard) -> None:
    model = opened(card, "layers 1-2")
    found = model.tensors()
    assert {name: (tensor.dtype, float(tensor.float().mean())) for name, tensor in found.items()} == {
        "model.layers.1.mlp.weight": (torch.float32, 1.0),
        "model.layers.2.mlp.weight": (torch.bfloat16, 2.0),
    }
    assert list(model.tensors("model.layers.2.mlp.weight")) == ["model.layers.2.mlp.weight"]


@pytest.mark.parametrize("parts", [("layers 1-2",), ("config",), ("embedding",), ("head",)])
def test_tensors_outside_what_is_opened_are_refused(card: ModelCard, parts: tuple[str, ...]) -> None:
    model = opened(card, *parts)
    allowed = card.opened(parts)
    assert model.tensors().keys() == allowed
    for name in card.tensors.keys() - allowed:
        with pytest.raises(UnfedError, match="is not opened to node") as raised:
            model.tensors(name)
        assert raised.value.failure.kind == "role"


def test_a_tensor_that_does_not_exist(card: ModelCard) -> None:
    with pytest.raises(UnfedError, match="has no tensor 'nonsense'"):
        opened(card, "all").tensors("nonsense")


def test_a_file_that_is_gone_or_cut_short(card: ModelCard, tmp_path: Path) -> None:
    shutil.copytree(card.folder, tmp_path / "copy")
    model = opened(msgspec.structs.replace(card, folder=str(tmp_path / "copy")), "all")
    file = tmp_path / "copy" / "model-2.safetensors"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(UnfedError, match=r"cannot read model-2.safetensors"):
        model.tensors("lm_head.weight")
    file.unlink()
    with pytest.raises(UnfedError, match=r"cannot read model-2.safetensors"):
        model.tensors("lm_head.weight")
    assert model.tensors("model.layers.0.mlp.weight")


@pytest.mark.slow
@pytest.mark.asyncio(loop_scope="session")
async def test_parties_read_their_own_layers_and_only_those_bytes(launcher: LocalLauncher, tmp_path: Path) -> None:
    """A party that opens one of forty layers: its memory grows by that layer, not by the file."""
    folder = tmp_path / "large"
    folder.mkdir()
    (folder / "config.json").write_text(CONFIG.replace(": 4", ": 40"))
    save_file(
        {f"model.layers.{i}.mlp.weight": torch.full((1 << 20,), float(i)) for i in range(40)},
        folder / "model.safetensors",
    )
    card = read_card(folder)
    node = Party("node", "puppets:Puppet", opens={"model": ("layers 7-7",)})
    async with running(launcher, plan(node), tmp_path, models={"model": card}) as fleet:
        did: Any = await act(fleet, "acts:read_and_weigh", "node", names=["model.layers.7.mlp.weight"])
        assert did["sum"] == 7.0 * (1 << 20)
        assert did["grown"] < 3 * (4 << 20), "one layer of 4 MB was asked for, of 160 MB"
        outcome = await ask(fleet, wish("acts:read_tensors", "node", names=["model.layers.8.mlp.weight"]))
        assert outcome.failure is not None and outcome.failure.party == "node"
        assert "not opened to node" in outcome.failure.message
        outcome = await ask(fleet, wish("acts:read_tensors", names=["model.layers.8.mlp.weight"]))
        assert outcome.failure is not None and "no part of the slot 'model'" in outcome.failure.message
