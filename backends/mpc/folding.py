"""A model's weights in float64, folded together where that saves a step of the protocol.

Gains go into the matrices that follow them, 1/√width into queries and keys, and for GPT-2 the taking off of means into
whatever writes to the residual stream: it is done once for all, since all that reads it takes the mean off first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch

from unfed.plugins import Model, ModelCard

from ..common.families import family_of
from ..common.weights import tensor_name

Turn = Callable[[int, int], tuple[torch.Tensor, torch.Tensor]]
"""Cosines and sines [tokens, width] of rotary positions, given the first position and their number."""


class Affine(NamedTuple):
    """x ↦ x @ weight + bias: weight [in, out], bias [out] or None."""

    weight: torch.Tensor
    bias: torch.Tensor | None = None


class FoldedLayer(NamedTuple):
    queries: Affine
    keys: Affine
    values: Affine
    out: Affine
    up: Affine
    down: Affine


class Folded(NamedTuple):
    """Attributes:
    heads, groups: query heads, and heads of keys and values.
    width: of a head.
    gated: whether `up` holds the gate and what it is multiplied with, in a row.
    activation: name of the activation function.
    epsilon: added to mean squares.
    context: positions there may be.
    turn: rotary positions, None for a family without.
    table: embedding [vocab, hidden]; `positions` likewise, or None.
    """

    hidden: int
    heads: int
    groups: int
    width: int
    gated: bool
    activation: str
    epsilon: float
    context: int
    turn: Turn | None
    table: torch.Tensor
    positions: torch.Tensor | None
    layers: tuple[FoldedLayer, ...]
    head: Affine


def outline(card: ModelCard, context: int) -> Folded:
    """The shapes of a model's weights, without content: for whoever makes material for it."""
    return fold(_Outline(card), context)


class _Outline:
    """Stands in for a model of which nothing but the config and the tensors' shapes are known."""

    def __init__(self, card: ModelCard) -> None:
        self.card = card
        self.opens = ("config",)
        self.folder = card.path

    def tensors(self, *names: str) -> dict[str, torch.Tensor]:
        return {name: torch.empty(self.card.tensors[name][2], device="meta") for name in names}


def fold(model: Model, context: int) -> Folded:
    """The weights of a model of a family that can be taken apart.

    Raises:
        UnfedError: another family, or weights that do not fit.
    """
    family_of(model.card)
    return _gpt2(model, context) if model.card.family == "gpt2" else _llama(model, context)


class _Reader:
    """Tensors by the names that the family's class gives them, in float64."""

    def __init__(self, model: Model) -> None:
        self._model, self._card = model, model.card

    def __call__(self, *names: str) -> torch.Tensor:
        name = tensor_name(self._card, *names)
        tensor: torch.Tensor = self._model.tensors(name)[name]
        return tensor.double()

    def maybe(self, name: str) -> torch.Tensor | None:
        prefixed = (family_of(self._card).prefix + name, name)
        return self(name) if any(each in self._card.tensors for each in prefixed) else None


def _config(card: ModelCard, name: str) -> float:
    return float(card.config[name])


def _llama(model: Model, context: int) -> Folded:
    card, read = model.card, _Reader(model)
    heads = int(_config(card, "num_attention_heads"))
    groups = int(card.config.get("num_key_value_heads") or heads)
    width = int(card.config.get("head_dim") or card.hidden // heads)
    layers = []
    for number in range(card.layers):
        name = f"layers.{number}."
        gain, gain_after = read(name + "input_layernorm.weight"), read(name + "post_attention_layernorm.weight")
        queries, keys, values = (
            Affine(
                read(f"{name}self_attn.{part}_proj.weight").T * gain[:, None],
                read.maybe(f"{name}self_attn.{part}_proj.bias"),
            )
            for part in "qkv"
        )
        gates = torch.cat([read(f"{name}mlp.{part}_proj.weight").T for part in ("gate", "up")], 1)
        layers.append(
            FoldedLayer(
                *_balanced(queries, keys, width),
                values,
                Affine(read(name + "self_attn.o_proj.weight").T),
                Affine(gates * gain_after[:, None]),
                Affine(read(name + "mlp.down_proj.weight").T),
            )
        )
    embedding = read("embed_tokens.weight")
    head = embedding if card.tied else read("lm_head.weight")
    return Folded(
        card.hidden,
        heads,
        groups,
        width,
        True,
        str(card.config["hidden_act"]),
        _config(card, "rms_norm_eps"),
        context,
        _rotations(card),
        embedding,
        None,
        tuple(layers),
        Affine(head.T * read("norm.weight")[:, None]),
    )


def _rotations(card: ModelCard) -> Turn:
    """The family's own rotary positions."""
    import transformers
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    config = transformers.AutoConfig.from_pretrained(card.path, local_files_only=True, trust_remote_code=False)
    rotary = LlamaRotaryEmbedding(config)

    def turn(start: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        cos, sin = rotary(torch.zeros(1), torch.arange(start, start + tokens)[None])
        return cos[0].double(), sin[0].double()

    return turn


def _balanced(queries: Affine, keys: Affine, width: int) -> tuple[Affine, Affine]:
    """Both, their products divided by the root of a head's width, and of one size: they share what bits there are."""
    sizes = [
        1.0 if each.weight.is_meta else float(each.weight.square().mean().sqrt()) or 1.0 for each in (queries, keys)
    ]
    both = math.sqrt(sizes[0] * sizes[1] / math.sqrt(width))
    one, other = (
        Affine(each.weight * (both / size), None if each.bias is None else each.bias * (both / size))
        for each, size in zip((queries, keys), sizes, strict=True)
    )
    return one, other


def _gpt2(model: Model, context: int) -> Folded:
    card, read = model.card, _Reader(model)
    heads = int(_config(card, "n_head"))
    width = card.hidden // heads
    layers = []
    for number in range(card.layers):
        name = f"h.{number}."

        def centred(part: str, name: str = name) -> Affine:
            return Affine(_centred(read(name + part + ".weight")), _centred(read(name + part + ".bias")))

        def gained(norm: str, part: str, name: str = name) -> Affine:
            gain, offset = read(f"{name}{norm}.weight"), read(f"{name}{norm}.bias")
            weight = read(f"{name}{part}.weight")
            return Affine(weight * gain[:, None], read(f"{name}{part}.bias") + offset @ weight)

        joined = gained("ln_1", "attn.c_attn")
        assert joined.bias is not None
        queries, keys, values = (
            Affine(*each)
            for each in zip(
                torch.split(joined.weight, card.hidden, -1), torch.split(joined.bias, card.hidden, -1), strict=True
            )
        )
        up = gained("ln_2", "mlp.c_fc")
        layers.append(
            FoldedLayer(*_balanced(queries, keys, width), values, centred("attn.c_proj"), up, centred("mlp.c_proj"))
        )
    embedding = read("wte.weight")
    head = embedding if card.tied else read("lm_head.weight")
    gain, offset = read("ln_f.weight"), read("ln_f.bias")
    return Folded(
        card.hidden,
        heads,
        heads,
        width,
        False,
        str(card.config["activation_function"]),
        _config(card, "layer_norm_epsilon"),
        context,
        None,
        _centred(embedding),
        _centred(read("wpe.weight")),
        tuple(layers),
        Affine(head.T * gain[:, None], head @ offset),
    )


def _centred(rows: torch.Tensor) -> torch.Tensor:
    return rows - rows.mean(-1, keepdim=True)
