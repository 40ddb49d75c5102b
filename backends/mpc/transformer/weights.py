"""A model's folded weights in fixed point, as a `Transformer` multiplies with them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple, Protocol

import torch

from unfed.plugins import ModelCard

from ...common import folded
from ...common.folded import Folded, fold
from ..engine.embedding import Keys
from ..engine.ring import encode
from ..engine.session import Run
from ..engine.wire import Wire
from .scales import Scales


class Linear(Protocol):
    """A matrix with its bias, as a program multiplies with it: shares of x @ weight + bias, without or with a round."""

    def of_share(self, run: Run, share: torch.Tensor) -> torch.Tensor: ...

    def of_wire(self, run: Run, wire: Wire) -> torch.Tensor: ...


class Paired(Protocol):
    """Queries and keys in a row: shares at scale `query`, positions turned in where the family does."""

    def __call__(self, run: Run, normed: Wire, start: int) -> torch.Tensor: ...


class Embedding(Protocol):
    """Where a program begins: from what a node makes of a client's keys to shares of rows, positions added.

    Attributes:
        extent: numbers that a node makes of a token's keys.
    """

    @property
    def extent(self) -> int: ...

    @property
    def vocab(self) -> int: ...

    def given(self, party: int, keys: Keys) -> torch.Tensor: ...

    def __call__(self, run: Run, given: torch.Tensor, start: int, pad: int) -> torch.Tensor:
        """Rows [pad + t, hidden] of t tokens whose places begin at `start`, after `pad` copies of the first row."""
        ...


class Layer(NamedTuple):
    paired: Paired
    values: Linear
    out: Linear
    up: Linear
    down: Linear


class Weights(NamedTuple):
    """What stands in `Folded` under the same names, as a program computes with it.

    Attributes:
        gated: whether `up` holds the gate and what it is multiplied with, in a row.
        head: None where only the first layers are computed.
    """

    hidden: int
    heads: int
    groups: int
    width: int
    gated: bool
    activation: str
    epsilon: float
    embedding: Embedding
    layers: tuple[Layer, ...]
    head: Linear | None


def assemble(model: Folded, embedding: Embedding, layers: Iterable[Layer], head: Linear | None) -> Weights:
    """A model's shape, and its content in whatever form."""
    gated = model.layers[0].gate is not None
    shape = model.hidden, model.heads, model.groups, model.width, gated, model.activation, model.epsilon
    return Weights(*shape, embedding, tuple(layers), head)


class Public(NamedTuple):
    """Known to both nodes: int64 [in, out] or [tokens, in, out], bias at the result's scale or None. No round."""

    weight: torch.Tensor
    bias: torch.Tensor | None

    def of_share(self, run: Run, share: torch.Tensor) -> torch.Tensor:
        weight, bias = self
        result = share @ weight if weight.dim() == 2 else (share[:, None] @ weight)[:, 0]
        return result if bias is None else result + run.public(bias)

    def of_wire(self, run: Run, wire: Wire) -> torch.Tensor:
        return self.of_share(run, run.share(wire))


def matrices(layer: folded.Layer, scales: Scales) -> tuple[Public, Public, Public, Public]:
    """Those of values, out, up (with the gate) and down."""
    given = scales.gate if layer.gate is None else 2 * scales.gate
    return (
        encoded(layer.value, scales.weight, scales.attending),
        encoded(layer.out, scales.out, scales.attended),
        encoded(_with_gate(layer), scales.weight, scales.normed),
        encoded(layer.down, scales.down, given),
    )


def outline(card: ModelCard, layers: int | None = None) -> Folded:
    """The shapes of a model's weights, without content: for whoever makes material for it. `layers` as in `fold`."""
    return fold(_Outline(card), layers)


class _Outline:
    """Stands in for a model of which nothing but the config and the tensors' shapes are known."""

    def __init__(self, card: ModelCard) -> None:
        self.card = card
        self.opens = ("config",)
        self.folder = card.path

    def tensors(self, *names: str) -> dict[str, torch.Tensor]:
        return {name: torch.empty(self.card.tensors[name][2], device="meta") for name in names}


def encoded(affine: folded.Linear, scale: int, of_input: int) -> Public:
    """In fixed point."""
    weight, bias = affine
    return Public(encode(weight, scale), None if bias is None else encode(bias, scale + of_input))


def _with_gate(layer: folded.Layer) -> folded.Linear:
    if (gate := layer.gate) is None:
        return layer.up
    assert gate.bias is None and layer.up.bias is None
    return folded.Linear(torch.cat([gate.weight, layer.up.weight], 1))


def balanced(layer: folded.Layer) -> list[folded.Linear]:
    """Queries and keys of one size, with the same products: they share what bits there are."""
    parts = layer.query, layer.key
    sizes = [1.0 if each.weight.is_meta else float(each.weight.square().mean().sqrt()) or 1.0 for each in parts]
    both = math.sqrt(sizes[0] * sizes[1])
    return [
        folded.Linear(each.weight * (both / size), None if each.bias is None else each.bias * (both / size))
        for each, size in zip(parts, sizes, strict=True)
    ]


def padded(rows: torch.Tensor, pad: int) -> torch.Tensor:
    """Rows [t, n], after `pad` copies of the first: what is local to a node takes no message."""
    return torch.cat([rows[:1].expand(pad, -1), rows]) if pad else rows


def rotate(heads: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Heads [..., width], turned."""
    half = heads.shape[-1] // 2
    turned: torch.Tensor = heads * cos + torch.cat([-heads[..., half:], heads[..., :half]], -1) * sin
    return turned


def side_by_side(parts: list[Public]) -> Public:
    """Matrices that read the same, as one."""
    given = [linear.bias for linear in parts if linear.bias is not None]
    return Public(torch.cat([linear.weight for linear in parts], -1), torch.cat(given, -1) if given else None)
