"""A model's weights as float matrices, folded together where that saves work to whoever computes under a protocol.

Gains and offsets of norms go into the matrices that read their results, 1/√width into the queries; for GPT-2 whatever
writes to the residual stream is centred, once and for all, so that every norm is x over the root of its mean square.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch

from unfed.plugins import Model, ModelCard, UnfedError

from .families import family_of
from .weights import tensor_name

Turn = Callable[[int, int], tuple[torch.Tensor, torch.Tensor]]
"""(start, tokens) ↦ cosines and sines [tokens, width] of the rotary positions."""


USUAL = {
    "use_sliding_window": False,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
}
"""Settings that change the forward pass, at the values that these weights are for."""
LENGTHS = ("dynamic", "longrope")
"""Kinds of rotary positions that depend on how long the whole sequence is."""


class Linear(NamedTuple):
    """x ↦ x @ weight + bias: weight float64 [in, out], bias [out] or None."""

    weight: torch.Tensor
    bias: torch.Tensor | None = None


class Layer(NamedTuple):
    """`gate` is None where the feed-forward half has no gate: down(act(up)); else it is down(act(gate) · up)."""

    query: Linear
    key: Linear
    value: Linear
    out: Linear
    gate: Linear | None
    up: Linear
    down: Linear


class Folded(NamedTuple):
    """Attributes:
    heads, groups: query heads, and heads of keys and values.
    width: of a head.
    activation: name of the activation function, as the config has it.
    epsilon: added to mean squares.
    table: embedding [vocab, hidden]; `positions` [context, hidden] are added to it, or None.
    turn: rotary positions, or None.
    head: with the last normaliser's gain; None where only the first layers are folded.
    """

    hidden: int
    heads: int
    groups: int
    width: int
    activation: str
    epsilon: float
    table: torch.Tensor
    positions: torch.Tensor | None
    turn: Turn | None
    layers: tuple[Layer, ...]
    head: Linear | None


def fold(model: Model, layers: int | None = None) -> Folded:
    """The weights of a model of a family that can be taken apart, in float64.

    Args:
        layers: so many of the first ones alone, without a head; all there is by default.
    Raises:
        UnfedError: another family, a variant of one whose forward pass is another, or weights that do not fit.
    """
    family_of(model.card)
    config = model.card.config
    if told := [f"{name} = {config[name]!r}" for name, usual in USUAL.items() if config.get(name, usual) != usual]:
        raise UnfedError(f"{model.card.name} has {', '.join(told)}, which is not supported")
    rotary = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if (kind := rotary.get("rope_type") or rotary.get("type") or "default") in LENGTHS:
        raise UnfedError(f"{model.card.name} has rotary positions of the kind {kind!r}, which is not supported")
    return (_gpt2 if model.card.family == "gpt2" else _llama)(model, layers)


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


def _llama(model: Model, first: int | None) -> Folded:
    card, read, config = model.card, _Reader(model), model.card.config
    heads = int(config["num_attention_heads"])
    width = int(config.get("head_dim") or card.hidden // heads)
    layers = []
    for number in range(card.layers if first is None else first):
        name = f"layers.{number}."

        def linear(part: str, gain: torch.Tensor | None = None, factor: float = 1.0, name: str = name) -> Linear:
            weight, bias = read(f"{name}{part}.weight").T * factor, read.maybe(f"{name}{part}.bias")
            return Linear(weight if gain is None else weight * gain[:, None], None if bias is None else bias * factor)

        before, after = read(name + "input_layernorm.weight"), read(name + "post_attention_layernorm.weight")
        layers.append(
            Layer(
                linear("self_attn.q_proj", before, 1 / math.sqrt(width)),
                linear("self_attn.k_proj", before),
                linear("self_attn.v_proj", before),
                linear("self_attn.o_proj"),
                linear("mlp.gate_proj", after),
                linear("mlp.up_proj", after),
                linear("mlp.down_proj"),
            )
        )
    table, head = read("embed_tokens.weight"), None
    if first is None:
        matrix = table if card.tied else read("lm_head.weight", "embed_tokens.weight")
        head = Linear(matrix.T * read("norm.weight")[:, None])
    return Folded(
        card.hidden,
        heads,
        int(config.get("num_key_value_heads") or heads),
        width,
        str(config["hidden_act"]),
        float(config["rms_norm_eps"]),
        table,
        None,
        rotations(card),
        tuple(layers),
        head,
    )


def rotations(card: ModelCard) -> Turn:
    """The family's own rotary positions."""
    import transformers
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    config = transformers.AutoConfig.from_pretrained(card.path, local_files_only=True, trust_remote_code=False)
    rotary = LlamaRotaryEmbedding(config)

    def turn(start: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        cos, sin = rotary(torch.zeros(1), torch.arange(start, start + tokens)[None])
        return cos[0].double(), sin[0].double()

    return turn


def _gpt2(model: Model, first: int | None) -> Folded:
    card, read, config = model.card, _Reader(model), model.card.config
    heads = int(config["n_head"])
    width = card.hidden // heads
    layers = []
    for number in range(card.layers if first is None else first):
        name = f"h.{number}."

        def reading(part: str, norm: str, name: str = name) -> Linear:
            weight, bias = read(f"{name}{part}.weight"), read(f"{name}{part}.bias")
            gain, offset = read(f"{name}{norm}.weight"), read(f"{name}{norm}.bias")
            return Linear(weight * gain[:, None], bias + offset @ weight)

        def writing(part: str, name: str = name) -> Linear:
            return Linear(_centred(read(f"{name}{part}.weight")), _centred(read(f"{name}{part}.bias")))

        joined = reading("attn.c_attn", "ln_1")
        assert joined.bias is not None
        query, key, value = (
            Linear(weight, bias)
            for weight, bias in zip(
                torch.split(joined.weight, card.hidden, -1), torch.split(joined.bias, card.hidden), strict=True
            )
        )
        assert query.bias is not None
        layers.append(
            Layer(
                Linear(query.weight / math.sqrt(width), query.bias / math.sqrt(width)),
                key,
                value,
                writing("attn.c_proj"),
                None,
                reading("mlp.c_fc", "ln_2"),
                writing("mlp.c_proj"),
            )
        )
    table, head = read("wte.weight"), None
    if first is None:
        matrix = table if card.tied else read("lm_head.weight", "wte.weight")
        head = Linear(matrix.T * read("ln_f.weight")[:, None], matrix @ read("ln_f.bias"))
    return Folded(
        card.hidden,
        heads,
        heads,
        width,
        str(config["activation_function"]),
        float(config["layer_norm_epsilon"]),
        _centred(table),
        _centred(read("wpe.weight")),
        None,
        tuple(layers),
        head,
    )


def streamed(card: ModelCard, hidden: torch.Tensor) -> torch.Tensor:
    """Hidden states [..., hidden] between layers as folded weights have them: for GPT-2 without their mean."""
    return _centred(hidden) if card.family == "gpt2" else hidden


def _centred(rows: torch.Tensor) -> torch.Tensor:
    return rows - rows.mean(-1, keepdim=True)
