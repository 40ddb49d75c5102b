"""Our loop takes the tokens that `transformers` `generate` takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes import card_of
from random_models import save_gpt2, save_llama, save_qwen2, save_tokenizer
from transformers import (
    AutoModelForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    OpenAIGPTConfig,
    OpenAIGPTLMHeadModel,
    RwkvConfig,
    RwkvForCausalLM,
)

from unfed.backends.common.generation import Generation
from unfed.backends.common.sampling import Sampler
from unfed.backends.common.whole import Whole
from unfed.plugins import UnfedError

PROMPT = [5, 90, 17, 263, 300, 44, 8, 129, 31, 90, 17]


def ours(folder: Path, prompt: list[int], most: int) -> list[int]:
    card = card_of(folder)
    whole = Whole(card)
    sampler = Sampler(Generation.of(folder), prompt, max_new_tokens=most, context=card.context)
    state, step = whole.begin(), torch.tensor([prompt])
    while sampler.stopped is None:
        step = torch.tensor([[sampler.take(whole.step(state, step))]])
    return sampler.tokens


def theirs(folder: Path, prompt: list[int], most: int) -> list[int]:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = torch.tensor([prompt])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=most, do_sample=False, num_beams=1)
    return out[0, len(prompt) :].tolist()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("model") / "llama", kv_heads=2)


SETTINGS: dict[str, dict[str, Any]] = {
    "none": {},
    "repetition": {"repetition_penalty": 1.4},
    "ngrams": {"no_repeat_ngram_size": 2, "sequence_bias": [[[17], 30.0]]},
    "encoder-repetition": {"encoder_repetition_penalty": 1.8},
    "encoder-ngrams": {"encoder_no_repeat_ngram_size": 1, "sequence_bias": [[[17], 30.0]]},
    "bad-words": {"bad_words_ids": "third"},
    "suppress": {"suppress_tokens": "third"},
    "begin-suppress": {"begin_suppress_tokens": "first"},
    "bias": {"sequence_bias": "bias"},
    "end": {"eos_token_id": "last"},
    "ends": {"eos_token_id": "several"},
    "min-new": {"eos_token_id": "last", "min_new_tokens": 20},
    "min-length": {"eos_token_id": "last", "min_length": 28},
    "forced-end": {"forced_eos_token_id": 7},
    "forced-bos": {"forced_bos_token_id": 7},
    "decay": {"exponential_decay_length_penalty": [4, 1.7]},
    "invalid": {"remove_invalid_values": True, "renormalize_logits": True},
    "together": {"repetition_penalty": 1.2, "no_repeat_ngram_size": 3, "min_new_tokens": 5, "suppress_tokens": [9, 10]},
    "beams": {"num_beams": 4, "length_penalty": 2.0},
    "sampling": {"do_sample": True, "temperature": 0.7, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.05},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_generation_config_is_honoured_as_generate_does(name: str, folder: Path, tmp_path: Path) -> None:
    free = theirs(folder, PROMPT, 24)
    meanings = {
        "first": [free[0]],
        "third": [[free[2]]] if name == "bad-words" else [free[2]],
        "last": free[12],
        "several": [free[15], free[9]],
        "bias": [[[free[4]], -9.0], [[free[0], free[1]], -9.0]],
    }
    settings = {
        key: meanings.get(value, value) if isinstance(value, str) else value for key, value in SETTINGS[name].items()
    }
    copy = tmp_path / "model"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).symlink_to(file)
    (copy / "generation_config.json").unlink()
    (copy / "generation_config.json").write_text(json.dumps({"eos_token_id": 1, **settings}))
    expected = theirs(copy, PROMPT, 24)
    if name not in ("none", "encoder-ngrams", "invalid", "beams", "forced-bos"):
        assert expected != free, "the setting makes no difference, so this would prove nothing"
    assert ours(copy, PROMPT, 24) == expected


@pytest.mark.parametrize(
    "save",
    [
        pytest.param(lambda folder: save_llama(folder, tied=True), id="llama-tied"),
        pytest.param(lambda folder: save_llama(folder, dtype=torch.bfloat16), id="llama-bf16"),
        pytest.param(lambda folder: save_qwen2(folder), id="qwen2"),
        pytest.param(lambda folder: save_qwen2(folder, sliding_window=6), id="qwen2-sliding"),
        pytest.param(lambda folder: save_gpt2(folder), id="gpt2"),
    ],
)
@pytest.mark.parametrize("prompt", [[5], PROMPT])
def test_every_family_token_for_token(save: Any, prompt: list[int], tmp_path: Path) -> None:
    folder = save(tmp_path / "model")
    assert ours(folder, prompt, 40) == theirs(folder, prompt, 40)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (MambaForCausalLM, MambaConfig(vocab_size=320, hidden_size=32, num_hidden_layers=2)),
        (RwkvForCausalLM, RwkvConfig(vocab_size=320, hidden_size=32, num_hidden_layers=2, attention_hidden_size=32)),
        (
            OpenAIGPTLMHeadModel,
            OpenAIGPTConfig(vocab_size=320, n_embd=32, n_layer=2, n_head=2, tie_word_embeddings=False),
        ),
    ],
    ids=["mamba", "rwkv", "openai-gpt"],
)
def test_families_with_caches_of_their_own_or_none(kind: Any, config: Any, tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = kind(config)
    model.generation_config.eos_token_id = None
    for parameter in model.parameters():
        if parameter.dim() > 1 or kind is not OpenAIGPTLMHeadModel:
            torch.nn.init.normal_(parameter, std=0.1 if kind is OpenAIGPTLMHeadModel else 0.7)
    model.save_pretrained(tmp_path)
    save_tokenizer(tmp_path, 320)
    found = ours(tmp_path, PROMPT, 24)
    assert found == theirs(tmp_path, PROMPT, 24)
    assert len(set(found)) > 2


def test_stop_tokens_come_from_the_generation_config_alone(tmp_path: Path) -> None:
    folder = save_llama(tmp_path / "llama")  # its tokenizer and config both say 1
    free = theirs(folder, PROMPT, 12)
    for ends in (free[5], [free[7], free[5]], None):
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
        expected = free[:6] if ends is not None else free
        assert ours(folder, PROMPT, 12) == expected == theirs(folder, PROMPT, 12)
    assert Generation.of(folder).ends == ()


@pytest.mark.parametrize(
    "inside", [{"eos_token_id": 7}, {"eos_token_id": [7, 8], "min_length": 3}, {}, {"eos_token_id": None}]
)
def test_without_a_generation_config_the_models_own_is_read_as_transformers_does(
    inside: dict[str, Any], tmp_path: Path
) -> None:
    folder = save_llama(tmp_path / "llama")
    (folder / "generation_config.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    config.pop("eos_token_id")
    (folder / "config.json").write_text(json.dumps(config | inside))
    reference = AutoModelForCausalLM.from_pretrained(folder).generation_config
    ends = reference.eos_token_id
    assert Generation.of(folder).ends == (() if ends is None else (ends,) if isinstance(ends, int) else tuple(ends))
    assert ours(folder, PROMPT, 8) == theirs(folder, PROMPT, 8)


@pytest.mark.parametrize(
    "setting",
    [
        {"guidance_scale": 1.5},
        {"stop_strings": ["x"]},
        {"token_healing": True},
        {"max_time": 3.0},
        {"watermarking_config": {"bias": 2.0}},
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(setting: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text(json.dumps(setting))
    with pytest.raises(UnfedError, match=next(iter(setting))):
        Generation.of(tmp_path)


@pytest.mark.parametrize("text", ["{", "[1]", '{"max_new_tokens": -3}', "\udcff"])
def test_a_broken_generation_config_is_an_error_and_not_passed_over(text: str, tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UnfedError, match="generation config"):
        Generation.of(tmp_path)


def test_an_answer_ends_where_the_context_does(tmp_path: Path) -> None:
    for save in (save_llama, save_gpt2):
        folder = save(tmp_path / save.__name__, context=16)
        whole, generation = Whole(card_of(folder)), Generation.of(folder)
        for asked in (11, 16):
            prompt = (PROMPT * 2)[:asked]
            sampler = Sampler(generation, prompt, max_new_tokens=100, context=16)
            state, step, ran = whole.begin(), torch.tensor([prompt]), 0
            while sampler.stopped is None:
                ran += step.shape[1]
                step = torch.tensor([[sampler.take(whole.step(state, step))]])
            assert (sampler.stopped, ran, len(sampler.tokens)) == ("context", 16, 17 - asked)
            assert sampler.tokens == theirs(folder, prompt, 17 - asked)


@pytest.mark.parametrize("lost", ["lm_head.weight", "model.layers.1.mlp.up_proj.weight"])
def test_weights_that_are_missing_are_not_made_up(lost: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = save_llama(tmp_path / "llama")
    tensors = load_file(folder / "model.safetensors")
    del tensors[lost]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UnfedError, match=lost):
        Whole(card_of(folder))


def test_a_truncated_file_is_an_error_for_people(tmp_path: Path) -> None:
    folder = save_llama(tmp_path / "llama")
    card = card_of(folder)
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(UnfedError, match="cannot be loaded"):
        Whole(card)
