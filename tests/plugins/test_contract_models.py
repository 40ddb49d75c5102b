"""Model cards: which tensors belong to which part, and who may open what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unfed.plugins import ModelCard, UnfedError, layers, split_evenly


def card(family: str, names: list[str], *, count: int = 3, tied: bool = False) -> ModelCard:
    tensors = {name: ("model.safetensors", "F32", (1,)) for name in names}
    sizes = {"layers": count, "hidden": 8, "vocab": 16, "context": 32, "parameters": 1}
    return ModelCard(name="m", folder="/nowhere", family=family, tied=tied, config={}, tensors=tensors, **sizes)


LLAMA = card(
    "llama",
    [
        "model.embed_tokens.weight",
        *(f"model.layers.{i}.mlp.up_proj.weight" for i in range(3)),
        "model.norm.weight",
        "lm_head.weight",
    ],
)
GPT2 = card(
    "gpt2",
    ["transformer.wte.weight", "wpe.weight", *(f"h.{i}.ln_1.bias" for i in range(3)), "transformer.ln_f.bias"],
    tied=True,
)
OTHER = card("mamba", ["backbone.embeddings.weight", "backbone.layers.0.mixer.D"])


@pytest.mark.parametrize(
    ("model", "tensor", "part"),
    [
        (LLAMA, "model.embed_tokens.weight", "embedding"),
        (LLAMA, "model.layers.2.mlp.up_proj.weight", "layer 2"),
        (LLAMA, "layers.11.x", "layer 11"),
        (LLAMA, "model.norm.weight", "head"),
        (LLAMA, "lm_head.weight", "head"),
        (LLAMA, "something.else", "other"),
        (GPT2, "wpe.weight", "embedding"),
        (GPT2, "h.1.ln_1.bias", "layer 1"),
        (GPT2, "transformer.ln_f.bias", "head"),
        (OTHER, "backbone.layers.0.mixer.D", "other"),
    ],
)
def test_every_tensor_belongs_to_a_part(model: ModelCard, tensor: str, part: str) -> None:
    assert model.part_of(tensor) == part


@pytest.mark.parametrize(
    ("opens", "count"),
    [
        ((), 0),
        (("none",), 0),
        (("config",), 0),
        (("embedding",), 1),
        (("layers 0-1",), 2),
        (("head",), 2),
        (("all",), 6),
        (("layers 0-2", "embedding", "head"), 6),
        (("layers 1-1", "layers 1-2"), 2),
    ],
)
def test_a_party_may_read_the_parts_it_opens(opens: tuple[str, ...], count: int) -> None:
    assert len(LLAMA.opened(opens)) == count


def test_a_tied_head_is_the_embedding() -> None:
    assert GPT2.opened(["head"]) == {"transformer.ln_f.bias", "transformer.wte.weight"}
    assert "model.embed_tokens.weight" not in LLAMA.opened(["head"])


@pytest.mark.parametrize("part", ["layers 0-3", "layers 2-1", "layers", "layers 0 - 1", "weights", "", "layers -1-0"])
def test_a_part_that_does_not_exist_is_refused(part: str) -> None:
    with pytest.raises(UnfedError):
        LLAMA.opened([part])


def test_a_family_that_is_unknown_opens_whole_only() -> None:
    assert OTHER.opened(["all"]) == set(OTHER.tensors) and OTHER.opened(["config"]) == set()
    with pytest.raises(UnfedError, match="cannot be taken apart"):
        OTHER.opened(["layers 0-1"])


def test_layers_are_written_as_they_are_read() -> None:
    assert layers(1, 2) == "layers 1-2" and len(LLAMA.opened([layers(1, 2)])) == 2


@given(count=st.integers(1, 200), shards=st.integers(1, 200))
def test_layers_are_split_evenly_without_gap_or_overlap(count: int, shards: int) -> None:
    if shards > count:
        with pytest.raises(UnfedError, match=f"choose 1 to {count}"):
            split_evenly(count, shards)
        return
    ranges = split_evenly(count, shards)
    assert [index for first, last in ranges for index in range(first, last + 1)] == list(range(count))
    lengths = [last - first + 1 for first, last in ranges]
    assert len(lengths) == shards and max(lengths) - min(lengths) <= 1 and lengths == sorted(lengths, reverse=True)


@pytest.mark.parametrize("shards", [0, -1])
def test_no_shards_at_all_are_refused(shards: int) -> None:
    with pytest.raises(UnfedError):
        split_evenly(4, shards)
