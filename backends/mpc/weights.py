"""A model's folded weights in fixed point, as a `Transformer` multiplies with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from .engine.ring import encode
from .folding import Affine, Folded, FoldedLayer, Turn
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
    given = 2 * scales.gate if model.gated else scales.gate
    layers = tuple(
        Layer(
            _turned(layer, model.turn, scales),
            _linear(layer.values, scales.weight, scales.attending),
            _linear(layer.out, scales.out, scales.attended),
            _linear(layer.up, scales.weight, scales.normed),
            _linear(layer.down, scales.down, given),
        )
        for layer in model.layers
    )
    return Weights(
        model.hidden,
        model.heads,
        model.groups,
        model.width,
        model.gated,
        model.activation,
        model.epsilon,
        encode(model.table, scales.residual),
        None if model.positions is None else encode(model.positions, scales.residual),
        layers,
        _linear(model.head, scales.head, scales.normed),
    )


def _linear(affine: Affine, scale: int, of_input: int) -> Linear:
    weight, bias = affine
    return Linear(encode(weight, scale), None if bias is None else encode(bias, scale + of_input))


def _turned(layer: FoldedLayer, turn: Turn | None, scales: Scales) -> Callable[[int, int], Linear]:
    """Queries and keys with the rotation of each position multiplied in, which would else need a cut."""
    parts = layer.queries, layer.keys
    if turn is None:
        joined = _joined([_linear(part, scales.paired, scales.attending) for part in parts])
        return lambda start, tokens: joined

    def at(start: int, tokens: int) -> Linear:
        cos, sin = turn(start, tokens)
        turned = (
            Affine(_rotated(part.weight, cos, sin), None if part.bias is None else _rotated(part.bias, cos, sin))
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
