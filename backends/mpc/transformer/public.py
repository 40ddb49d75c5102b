"""Weights that both nodes hold, as a `Transformer` multiplies with them: no product takes a round."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch

from ...common import folded
from ...common.folded import Folded, Turn
from ..engine.embedding import Keys, look_up
from ..engine.ring import encode
from ..engine.rows import HALF, Rows
from ..engine.session import Run
from ..engine.wire import Wire
from .scales import Scales
from .weights import Layer, Linear, Public, Weights, assemble, balanced, encoded, matrices, padded, rotate, side_by_side


def fixed(model: Folded, scales: Scales) -> Weights:
    """`model` at `scales`, public; without content where it has none."""
    embedding = PublicRows(
        encode(model.table, scales.residual),
        None if model.positions is None else encode(model.positions, scales.residual),
    )
    layers = (
        Layer(PublicPaired(_turned(each, model.turn, scales)), *map(packed, matrices(each, scales)))
        for each in model.layers
    )
    head = None if model.head is None else packed(encoded(model.head, scales.head, scales.normed))
    return assemble(model, embedding, layers, head)


class Packed(NamedTuple):
    """A `Public` matrix as products with shares read it fastest, which pays where there are many of them."""

    matrix: Rows
    bias: torch.Tensor | None

    def of_share(self, run: Run, share: torch.Tensor) -> torch.Tensor:
        result = self.matrix.weighted(share)
        return result if self.bias is None else result + run.public(self.bias)

    def of_wire(self, run: Run, wire: Wire) -> torch.Tensor:
        return self.of_share(run, run.share(wire))


def packed(linear: Public) -> Linear:
    """`linear` ready for products; as it is where it has no content, or numbers that are too large."""
    weight, bias = linear
    if weight.is_meta:
        return linear
    try:
        return Packed(Rows(weight), bias)
    except OverflowError:
        return linear


class PublicPaired(NamedTuple):
    """`at(start, tokens)` gives the matrices of those positions."""

    at: Callable[[int, int], Linear]

    def __call__(self, run: Run, normed: Wire, start: int) -> torch.Tensor:
        return run.ahead(partial(self.at, start, normed.shape[0])).of_wire(run, normed)


class PublicRows:
    """Tables [vocab, hidden] and [context, hidden], or None, at the scale of the residual stream."""

    def __init__(self, table: torch.Tensor, positions: torch.Tensor | None) -> None:
        (self.vocab, self.extent), self.positions = table.shape, positions
        self._table = None if table.is_meta else Rows(table, HALF)

    def given(self, party: int, keys: Keys) -> torch.Tensor:
        assert self._table is not None, "there is nothing in an outline to look up"
        return look_up(party, keys, self._table)

    def __call__(self, run: Run, given: torch.Tensor, start: int, pad: int) -> torch.Tensor:
        if self.positions is not None:
            given = given + run.public(self.positions[start : start + given.shape[0]])
        return padded(given, pad)


def _turned(layer: folded.Layer, turn: Turn | None, scales: Scales) -> Callable[[int, int], Linear]:
    """Queries and keys with the rotation of each position multiplied in, which would else need a cut."""
    parts, paired = balanced(layer), scales.query - scales.attending
    if turn is None:
        joined = packed(side_by_side([encoded(part, paired, scales.attending) for part in parts]))
        return lambda start, tokens: joined

    def at(start: int, tokens: int) -> Public:
        cos, sin = turn(start, tokens)
        turned = (
            folded.Linear(_rotated(part.weight, cos, sin), None if part.bias is None else _rotated(part.bias, cos, sin))
            for part in parts
        )
        return side_by_side([encoded(part, paired, scales.attending) for part in turned])

    return at


def _rotated(part: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """[..., heads · width] for each of the positions: [tokens, ..., heads · width]."""
    width, cos, sin = cos.shape[1], cos.to(part.device), sin.to(part.device)
    heads = torch.unflatten(part, -1, (-1, width))
    shape = (-1, *[1] * (heads.dim() - 1), width)
    return rotate(heads[None], cos.reshape(shape), sin.reshape(shape)).flatten(-2)
