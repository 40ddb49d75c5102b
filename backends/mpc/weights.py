"""A model's public weights as the protocol wants them: folded together where that saves a step, in fixed point."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch

from unfed.plugins import Model, ModelCard

from ..common.families import family_of
from ..common.weights import tensor_name
from . import scales
from .engine.ring import encode


class Linear(NamedTuple):
    """x ↦ x @ weight + bias: weight int64 [in, out] or [tokens, in, out], bias at the result's scale or None."""

    weight: torch.Tensor
    bias: torch.Tensor | None


class Layer(NamedTuple):
    """`attention(start, tokens)` gives queries, keys and values in a row, positions turned in where the family does."""

    attention: Callable[[int, int], Linear]
    out: Linear
    up: Linear
    down: Linear


class Weights(NamedTuple):
    """Attributes:
    heads, groups: query heads, and heads of keys and values.
    width: of a head.
    gated: whether `up` holds the gate and what it is multiplied with, in a row.
    activation: name of the activation function.
    epsilon: added to mean squares.
    table: embedding [vocab, hidden] at the scale of the residual stream; `positions` likewise, or None.
    """

    hidden: int
    heads: int
    groups: int
    width: int
    gated: bool
    activation: str
    epsilon: float
    table: torch.Tensor
    positions: torch.Tensor | None
    layers: tuple[Layer, ...]
    head: Linear


def outline(card: ModelCard) -> Weights:
    """The shapes of a model's weights, without content: for whoever makes material for it."""
    return read(_Outline(card))


class _Outline:
    """Stands in for a model of which nothing but the config and the tensors' shapes are known."""

    def __init__(self, card: ModelCard) -> None:
        self.card = card
        self.opens = ("config",)
        self.folder = card.path

    def tensors(self, *names: str) -> dict[str, torch.Tensor]:
        return {name: torch.empty(self.card.tensors[name][2], device="meta") for name in names}


def read(model: Model) -> Weights:
    """The weights of a model of a family that can be taken apart.

    Raises:
        UnfedError: another family, or weights that do not fit.
    """
    family_of(model.card)
    return _gpt2(model) if model.card.family == "gpt2" else _llama(model)


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


def _linear(weight: torch.Tensor, bias: torch.Tensor | None, scale: int, of_input: int) -> Linear:
    return Linear(encode(weight, scale), None if bias is None else encode(bias, scale + of_input))


def _config(card: ModelCard, name: str) -> float:
    return float(card.config[name])


def _llama(model: Model) -> Weights:
    card, read = model.card, _Reader(model)
    heads = int(_config(card, "num_attention_heads"))
    groups = int(card.config.get("num_key_value_heads") or heads)
    width = int(card.config.get("head_dim") or card.hidden // heads)
    turn = _rotations(card, width)
    layers = []
    for number in range(card.layers):
        name = f"layers.{number}."
        gain, gain_after = read(name + "input_layernorm.weight"), read(name + "post_attention_layernorm.weight")
        parts = [read(f"{name}self_attn.{part}_proj.weight").T * gain[:, None] for part in "qkv"]
        parts[0] = parts[0] / math.sqrt(width)
        biases = [read.maybe(f"{name}self_attn.{part}_proj.bias") for part in "qkv"]
        if biases[0] is not None:
            biases[0] = biases[0] / math.sqrt(width)
        gates = torch.cat([read(f"{name}mlp.{part}_proj.weight").T for part in ("gate", "up")], 1)
        layers.append(
            Layer(
                _turned(parts, biases, turn),
                _linear(read(name + "self_attn.o_proj.weight").T, None, scales.OUT, scales.ATTENDED),
                _linear(gates * gain_after[:, None], None, scales.WEIGHT, scales.NORMED),
                _linear(read(name + "mlp.down_proj.weight").T, None, scales.DOWN, 2 * scales.GATE),
            )
        )
    embedding = read("embed_tokens.weight")
    head = embedding if card.tied else read("lm_head.weight")
    return Weights(
        card.hidden,
        heads,
        groups,
        width,
        True,
        str(card.config["hidden_act"]),
        _config(card, "rms_norm_eps"),
        encode(embedding, scales.RESIDUAL),
        None,
        tuple(layers),
        _linear(head.T * read("norm.weight")[:, None], None, scales.HEAD, scales.NORMED),
    )


def _rotations(card: ModelCard, width: int) -> Callable[[int, int], tuple[torch.Tensor, torch.Tensor]]:
    """Cosines and sines [tokens, width] of the family's own rotary positions."""
    import transformers
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    config = transformers.AutoConfig.from_pretrained(card.path, local_files_only=True, trust_remote_code=False)
    rotary = LlamaRotaryEmbedding(config)

    def turn(start: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        cos, sin = rotary(torch.zeros(1), torch.arange(start, start + tokens)[None])
        return cos[0].double(), sin[0].double()

    return turn


def _turned(
    parts: list[torch.Tensor],
    biases: list[torch.Tensor | None],
    turn: Callable[[int, int], tuple[torch.Tensor, torch.Tensor]],
) -> Callable[[int, int], Linear]:
    """Matrices of queries and keys with the rotation of each position multiplied in, which would else need a cut."""

    def rotated(part: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        """[..., heads · width] for each of the positions: [tokens, ..., heads · width]."""
        width, cos, sin = cos.shape[1], cos.to(part.device), sin.to(part.device)
        heads = torch.unflatten(part, -1, (-1, width))
        halves = torch.cat([-heads[..., width // 2 :], heads[..., : width // 2]], -1)
        shape = (-1, *[1] * (heads.dim() - 1), width)
        turned: torch.Tensor = heads[None] * cos.reshape(shape) + halves[None] * sin.reshape(shape)
        return turned.flatten(-2)

    def at(start: int, tokens: int) -> Linear:
        cos, sin = turn(start, tokens)
        turned = [rotated(part, cos, sin) for part in parts[:2]] + [parts[2].expand(tokens, -1, -1)]
        given = [None if bias is None else rotated(bias, cos, sin) for bias in biases[:2]]
        given.append(None if biases[2] is None else biases[2].expand(tokens, -1))
        return _attention(turned, given)

    return at


def _attention(parts: list[torch.Tensor], biases: list[torch.Tensor | None]) -> Linear:
    """Queries and keys at one scale, values at another, in a row."""
    each = [
        _linear(part, bias, scale, scales.NORMED)
        for part, bias, scale in zip(parts, biases, (scales.PAIRED, scales.PAIRED, scales.WEIGHT), strict=True)
    ]
    given = [linear.bias for linear in each if linear.bias is not None]
    return Linear(torch.cat([linear.weight for linear in each], -1), torch.cat(given, -1) if given else None)


def _gpt2(model: Model) -> Weights:
    """Whatever writes to the residual stream is centred here, once: all that reads it takes the mean off first."""
    card, read = model.card, _Reader(model)
    heads = int(_config(card, "n_head"))
    width = card.hidden // heads
    layers = []
    for number in range(card.layers):
        name = f"h.{number}."

        def centred(part: str, name: str = name) -> torch.Tensor:
            return _centred(read(name + part))

        gain, offset = read(name + "ln_1.weight"), read(name + "ln_1.bias")
        joined, bias = read(name + "attn.c_attn.weight"), read(name + "attn.c_attn.bias")
        bias = bias + offset @ joined
        joined = joined * gain[:, None]
        parts, biases = [list(torch.split(each, card.hidden, -1)) for each in (joined, bias)]
        parts[0], biases[0] = parts[0] / math.sqrt(width), biases[0] / math.sqrt(width)
        attention = _attention(parts, [*biases])
        gain, offset = read(name + "ln_2.weight"), read(name + "ln_2.bias")
        up, bias = read(name + "mlp.c_fc.weight"), read(name + "mlp.c_fc.bias")
        layers.append(
            Layer(
                lambda start, tokens, same=attention: same,  # type: ignore[misc]
                _linear(centred("attn.c_proj.weight"), centred("attn.c_proj.bias"), scales.OUT, scales.ATTENDED),
                _linear(up * gain[:, None], bias + offset @ up, scales.WEIGHT, scales.NORMED),
                _linear(centred("mlp.c_proj.weight"), centred("mlp.c_proj.bias"), scales.DOWN, scales.GATE),
            )
        )
    embedding = read("wte.weight")
    head = embedding if card.tied else read("lm_head.weight")
    gain, offset = read("ln_f.weight"), read("ln_f.bias")
    return Weights(
        card.hidden,
        heads,
        heads,
        width,
        False,
        str(card.config["activation_function"]),
        _config(card, "layer_norm_epsilon"),
        encode(_centred(embedding), scales.RESIDUAL),
        encode(_centred(read("wpe.weight")), scales.RESIDUAL),
        tuple(layers),
        _linear(head.T * gain[:, None], head @ offset, scales.HEAD, scales.NORMED),
    )


def _centred(rows: torch.Tensor) -> torch.Tensor:
    return rows - rows.mean(-1, keepdim=True)
