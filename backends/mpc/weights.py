"""A model's folded weights in fixed point, as a `Transformer` multiplies with them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch

from unfed.plugins import ModelCard

from ..common import folded
from ..common.folded import Folded, Turn, fold
from .engine.ring import encode
from .scales import Scales


class Linear(NamedTuple):
    """x ↦ x @ weight + bias: weight int64 [in, out] or [tokens, in, out], bias at the result's scale or None."""

    weight: torch.Tensor
    bias: torch.Tensor | None


class Layer(NamedTuple):
    """`paired(start, tokens)` gives queries and keys in a row, positions turned in where the family does."""

    paired: Callable[[int, int], Linear]
    values: Linear
    out: Linear
    up: Linear
    down: Linear


class Weights(NamedTuple):
    """What stands in `Folded` under the same names, in fixed point.

    Attributes:
        gated: whether `up` holds the gate and what it is multiplied with, in a row.
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


def fixed(model: Folded, scales: Scales) -> Weights:
    """`model` at `scales`; without content where it has none."""
    gated = model.layers[0].gate is not None
    given = 2 * scales.gate if gated else scales.gate
    layers = tuple(
        Layer(
            _turned(layer, model.turn, scales),
            _linear(layer.value, scales.weight, scales.attending),
            _linear(layer.out, scales.out, scales.attended),
            _linear(_with_gate(layer), scales.weight, scales.normed),
            _linear(layer.down, scales.down, given),
        )
        for layer in model.layers
    )
    return Weights(
        model.hidden,
        model.heads,
        model.groups,
        model.width,
        gated,
        model.activation,
        model.epsilon,
        encode(model.table, scales.residual),
        None if model.positions is None else encode(model.positions, scales.residual),
        layers,
        _linear(model.head, scales.head, scales.normed),
    )


def outline(card: ModelCard) -> Folded:
    """The shapes of a model's weights, without content: for whoever makes material for it."""
    return fold(_Outline(card))


class _Outline:
    """Stands in for a model of which nothing but the config and the tensors' shapes are known."""

    def __init__(self, card: ModelCard) -> None:
        self.card = card
        self.opens = ("config",)
        self.folder = card.path

    def tensors(self, *names: str) -> dict[str, torch.Tensor]:
        return {name: torch.empty(self.card.tensors[name][2], device="meta") for name in names}


def _linear(affine: folded.Linear, scale: int, of_input: int) -> Linear:
    weight, bias = affine
    return Linear(encode(weight, scale), None if bias is None else encode(bias, scale + of_input))


def _with_gate(layer: folded.Layer) -> folded.Linear:
    if (gate := layer.gate) is None:
        return layer.up
    assert gate.bias is None and layer.up.bias is None
    return folded.Linear(torch.cat([gate.weight, layer.up.weight], 1))


def _balanced(layer: folded.Layer) -> list[folded.Linear]:
    """Queries and keys of one size, with the same products: they share what bits there are."""
    parts = layer.query, layer.key
    sizes = [1.0 if each.weight.is_meta else float(each.weight.square().mean().sqrt()) or 1.0 for each in parts]
    both = math.sqrt(sizes[0] * sizes[1])
    return [
        folded.Linear(each.weight * (both / size), None if each.bias is None else each.bias * (both / size))
        for each, size in zip(parts, sizes, strict=True)
    ]


def _turned(layer: folded.Layer, turn: Turn | None, scales: Scales) -> Callable[[int, int], Linear]:
    """Queries and keys with the rotation of each position multiplied in, which would else need a cut."""
    parts = _balanced(layer)
    if turn is None:
        joined = _joined([_linear(part, scales.paired, scales.attending) for part in parts])
        return lambda start, tokens: joined

    def at(start: int, tokens: int) -> Linear:
        cos, sin = turn(start, tokens)
        turned = (
            folded.Linear(_rotated(part.weight, cos, sin), None if part.bias is None else _rotated(part.bias, cos, sin))
            for part in parts
        )
        return _joined([_linear(part, scales.paired, scales.attending) for part in turned])

    return at


def _rotated(part: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """[..., heads · width] for each of the positions: [tokens, ..., heads · width]."""
    width, cos, sin = cos.shape[1], cos.to(part.device), sin.to(part.device)
    heads = torch.unflatten(part, -1, (-1, width))
    halves = torch.cat([-heads[..., width // 2 :], heads[..., : width // 2]], -1)
    shape = (-1, *[1] * (heads.dim() - 1), width)
    turned: torch.Tensor = heads[None] * cos.reshape(shape) + halves[None] * sin.reshape(shape)
    return turned.flatten(-2)


def _joined(parts: list[Linear]) -> Linear:
    given = [linear.bias for linear in parts if linear.bias is not None]
    return Linear(torch.cat([linear.weight for linear in parts], -1), torch.cat(given, -1) if given else None)
