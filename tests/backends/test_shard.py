"""Sliced layers equal the whole model, and nothing beyond them is read."""

from __future__ import annotations

import json
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import FakeModel, card_of
from random_models import save_gpt2, save_llama, save_qwen2
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, DynamicCache

import unfed.backends.common.shard as sharding
from unfed.backends.common import weights
from unfed.backends.common.ends import Embedding, Head
from unfed.backends.common.families import FAMILIES
from unfed.backends.common.shard import Shard, shard
from unfed.plugins import UnfedError, layers, split_evenly
from unfed.plugins.models import FAMILIES as CARD_FAMILIES

MODELS: dict[str, Any] = {
    "llama": lambda folder: save_llama(folder),
    "llama-tied": lambda folder: save_llama(folder, tied=True),
    "llama-gqa": lambda folder: save_llama(folder, layers=5, kv_heads=2, attention_bias=True, mlp_bias=True),
    "llama-bf16": lambda folder: save_llama(folder, dtype=torch.bfloat16),
    "llama-rope": lambda folder: save_llama(
        folder,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    ),
    "llama-dynamic": lambda folder: save_llama(
        folder,
        context=12,
        rope_parameters={"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0},
    ),
    "llama-files": lambda folder: save_llama(folder, shard_size="60KB"),
    "qwen2": lambda folder: save_qwen2(folder),
    "qwen2-tied": lambda folder: save_qwen2(folder, tied=True),
    "qwen2-sliding": lambda folder: save_qwen2(folder, sliding_window=6, full_layers=2),
    "gpt2": lambda folder: save_gpt2(folder),
    "gpt2-inverse": lambda folder: save_gpt2(folder, scale_attn_by_inverse_layer_idx=True),
}
PROMPT = torch.tensor([[5, 90, 17, 263, 300, 44, 8, 129, 31]])


@pytest.fixture(scope="module", params=MODELS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return MODELS[request.param](tmp_path_factory.mktemp("model") / request.param)  # type: ignore[no-any-return]


@pytest.mark.parametrize("shards", [1, 2, 4])
def test_prefill_and_decode_equal_the_whole_model_bit_for_bit(folder: Path, shards: int) -> None:
    card = card_of(folder)
    parts = [shard(FakeModel(card, layers(*ends)), *ends) for ends in split_evenly(card.layers, shards)]
    embedding, head = Embedding(FakeModel(card, "embedding")), Head(FakeModel(card, "head"))
    whole = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    caches = [part.new_cache() for part in parts]
    cache, ids, start = DynamicCache(config=whole.config), PROMPT, 0
    for _ in range(12):
        with torch.inference_mode():
            expected = whole(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[0, 0]
        hidden = embedding(ids, start)
        for part, own in zip(parts, caches, strict=True):
            hidden = part(hidden, own)
        found = head(hidden)
        assert torch.equal(found, expected)
        start += ids.shape[1]
        ids = found.argmax()[None, None]


def test_large_matrices_are_laid_out_for_single_tokens_and_give_the_same_but_for_rounding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = card_of(save_llama(tmp_path / "llama"))

    def made() -> tuple[Shard, Head]:
        return shard(FakeModel(card), 0, card.layers - 1), Head(FakeModel(card))

    rows = made()
    monkeypatch.setattr(weights, "_LARGE", 1)
    columns = made()
    strides = {name: each.stride() for name, each in columns[0].base.named_parameters() if each.dim() == 2}
    assert {stride[0] == 1 for name, stride in strides.items() if "up_proj" in name or "q_proj" in name} == {True}
    assert {stride[1] == 1 for name, stride in strides.items() if "down_proj" in name} == {True}
    hidden = Embedding(FakeModel(card))(PROMPT, 0)
    expected, found = (head(part(hidden, part.new_cache())) for part, head in (rows, columns))
    assert torch.allclose(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_rotary_embeddings_made_ahead_serve_queries_at_different_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two queries in turns, over more blocks than are kept."""
    monkeypatch.setattr(sharding, "_BLOCK", 4)
    monkeypatch.setattr(sharding, "_BLOCKS", 2)
    card = card_of(save_llama(tmp_path / "llama"))
    part, embedding = shard(FakeModel(card), 0, card.layers - 1), Embedding(FakeModel(card))
    once = []
    made = part._turned
    monkeypatch.setattr(part, "_turns", lru_cache(2)(lambda block: once.append(block) or made(block)))
    base = part.base
    caches = [(part.new_cache(), part.new_cache()) for _ in range(2)]
    for step in range(17):
        for query, (own, reference) in enumerate(caches):
            ids = PROMPT if not step else torch.tensor([[7 * step + query]])
            if not step and query:
                ids = PROMPT[:, :3]
            hidden = embedding(ids, own.get_seq_length())
            with torch.inference_mode():
                expected = base(inputs_embeds=hidden, past_key_values=reference, use_cache=True).last_hidden_state
            assert torch.equal(part(hidden, own), expected)
    assert len(once) < 34 / 2, "each block should have been made for several steps"


def test_only_the_tensors_of_the_part_are_read(folder: Path) -> None:
    card = card_of(folder)
    model = FakeModel(card, "all")
    shard(model, 1, 2)
    assert {card.part_of(name) for name in model.read} == {"layer 1", "layer 2"}
    assert model.read == card.opened([layers(1, 2)])
    for part, kind in (("embedding", Embedding), ("head", Head)):
        model = FakeModel(card, "all")
        kind(model)
        assert model.read == card.opened([part])


def test_a_node_that_opens_its_layers_cannot_load_others(tmp_path: Path) -> None:
    model = FakeModel(card_of(save_llama(tmp_path / "llama")), layers(1, 2))
    with pytest.raises(UnfedError, match="not opened"):
        shard(model, 1, 3)


@pytest.mark.parametrize("save", [save_llama, save_qwen2, save_gpt2])
def test_checkpoints_without_the_familys_prefix(save: Any, tmp_path: Path) -> None:
    plain = card_of(save(tmp_path / "with"))
    bare = tmp_path / "bare"
    shutil.copytree(tmp_path / "with", bare)
    tensors = load_file(bare / "model.safetensors")
    save_file(
        {name.removeprefix("model.").removeprefix("transformer."): value for name, value in tensors.items()},
        bare / "model.safetensors",
        {"format": "pt"},
    )
    card = card_of(bare)
    assert not card.tensors.keys() & {name for name in plain.tensors if "." in name and not name.startswith("lm_head")}
    for each in (plain, card):
        part = shard(FakeModel(each), 1, 2)
        hidden = Embedding(FakeModel(each))(PROMPT, 0)
        logits = Head(FakeModel(each))(part(hidden, part.new_cache()))
        if each is plain:
            expected = logits
    # not bit for bit: the two files place weights at different offsets, and kernels round by alignment
    assert torch.allclose(logits, expected, atol=1e-5)


def test_a_tied_checkpoint_that_kept_the_heads_name_only(tmp_path: Path) -> None:
    folder = save_llama(tmp_path / "llama", tied=True)
    expected = Embedding(FakeModel(card_of(folder)))(PROMPT, 0)
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = tensors.pop("model.embed_tokens.weight")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    assert torch.equal(Embedding(FakeModel(card_of(folder)))(PROMPT, 0), expected)


def test_gpt2_positions_are_added_with_the_embedding_and_nowhere_else(tmp_path: Path) -> None:
    folder = save_gpt2(tmp_path / "gpt2")
    card = card_of(folder)
    tensors = FakeModel(card).tensors()
    hidden = Embedding(FakeModel(card))(PROMPT, 7)
    expected = tensors["transformer.wte.weight"][PROMPT] + tensors["transformer.wpe.weight"][7 : 7 + PROMPT.shape[1]]
    assert torch.equal(hidden, expected)
    model = FakeModel(card)
    shard(model, 0, 3)
    assert "transformer.wpe.weight" not in model.read


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    folder = save_llama(tmp_path / "llama")
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.2.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    model = FakeModel(card_of(folder))
    shard(model, 0, 1)
    with pytest.raises(UnfedError, match=r"layers\.2\.mlp\.up_proj\.weight"):
        shard(model, 2, 3)


def test_an_untied_model_without_a_head_is_refused(tmp_path: Path) -> None:
    folder = save_llama(tmp_path / "llama")
    tensors = load_file(folder / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UnfedError, match="lm_head"):
        Head(FakeModel(card_of(folder)))


def test_weights_of_another_shape_than_the_config_are_refused(tmp_path: Path) -> None:
    folder = save_llama(tmp_path / "llama")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 96}))
    with pytest.raises(UnfedError, match=r"shape \(128, 64\), its config says \(96, 64\)"):
        shard(FakeModel(card_of(folder)), 0, 1)


def test_other_families_and_quantised_weights_are_refused_by_name(tmp_path: Path) -> None:
    folder = save_llama(tmp_path / "llama")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "mistral"}))
    with pytest.raises(UnfedError, match=r"'mistral'.*gpt2, llama, qwen2"):
        shard(FakeModel(card_of(folder)), 0, 1)
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "gptq"}}))
    with pytest.raises(UnfedError, match="quantised"):
        shard(FakeModel(card_of(folder)), 0, 1)


def test_our_families_are_those_that_cards_can_tell_apart() -> None:
    assert FAMILIES.keys() == CARD_FAMILIES.keys()
