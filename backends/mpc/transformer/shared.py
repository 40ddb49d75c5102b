"""A model's weights as two shares: how they lie in one vector, and what a `Transformer` multiplies with.

Matrices are opened once under masks that the dealer keeps (see `Through`), what is added stays shared. A product needs
what it is given freshly opened: a round more than with public weights where it had not been.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch

from ...common.folded import Folded, Turn
from ..engine.embedding import Keys, one_hot
from ..engine.gates import Through, Truncate
from ..engine.ring import encode
from ..engine.session import Run
from ..engine.wire import Wire
from .scales import Scales
from .weights import Layer, Public, Weights, assemble, balanced, encoded, matrices, padded, rotate, side_by_side


def whole(model: Folded, scales: Scales) -> list[Public]:
    """A model's matrices in fixed point, in the order in which they are shared: the table (with the positions in the
    place of a bias), five a layer, the head. Without content where the model has none."""
    assert model.head is not None, "a model is shared whole"
    positions = None if model.positions is None else encode(model.positions, scales.residual)
    found = [Public(encode(model.table, scales.residual), positions)]
    for layer in model.layers:
        paired = [encoded(part, scales.weight, scales.attending) for part in balanced(layer)]
        found += [side_by_side(paired), *matrices(layer, scales)]
    return [*found, encoded(model.head, scales.head, scales.normed)]


def flat(linears: Sequence[Public]) -> torch.Tensor:
    """All their numbers in one vector: int64."""
    return torch.cat([part.reshape(-1) for linear in linears for part in linear if part is not None])


def size(linears: Sequence[Public]) -> int:
    """How many numbers they are."""
    return sum(part.numel() for linear in linears for part in linear if part is not None)


def unflat(vector: torch.Tensor, linears: Sequence[Public]) -> list[Public]:
    """The vector's parts, in the shapes of `linears`."""
    parts = iter(torch.split(vector, [part.numel() for linear in linears for part in linear if part is not None]))
    return [
        Public(
            next(parts).reshape(weight.shape),
            None if bias is None else next(parts).reshape(bias.shape),
        )
        for weight, bias in linears
    ]


class Shared(NamedTuple):
    """bias: a node's share of it, or None."""

    matrix: Through
    bias: torch.Tensor | None

    def of_share(self, run: Run, share: torch.Tensor) -> torch.Tensor:
        """A round."""
        (wire,) = run.open(share)
        return self.of_wire(run, wire)

    def of_wire(self, run: Run, wire: Wire) -> torch.Tensor:
        """No round, unless the wire was cut."""
        if not wire.plain:
            return self.of_share(run, run.share(wire))
        result: torch.Tensor = run.apply(self.matrix, wire)
        return result if self.bias is None else result + self.bias


class SharedPaired(NamedTuple):
    """A round: positions cannot be multiplied into a matrix that is masked once, so they turn the result, once it was
    cut.

    Attributes:
        turn: (start, tokens) ↦ cosines and sines, at the scale that cut results lack; None where positions do not turn.
        cut: bits.
    """

    linear: Shared
    turn: Callable[[int, int], tuple[torch.Tensor, torch.Tensor]] | None
    cut: int

    def __call__(self, run: Run, normed: Wire, start: int) -> torch.Tensor:
        (fine,) = run.open(self.linear.of_wire(run, normed))
        paired = run.share(run.apply(Truncate(self.cut), fine))
        if self.turn is None:
            return paired
        cos, sin = run.ahead(partial(self.turn, start, normed.shape[0]))
        heads = paired.reshape(paired.shape[0], -1, cos.shape[1])
        return rotate(heads, cos[:, None], sin[:, None]).reshape(*paired.shape)


class SharedRows(NamedTuple):
    """A round of 8 bytes a token and word of the vocabulary: shares of one-hot rows are opened under masks."""

    table: Through
    positions: torch.Tensor | None

    @property
    def extent(self) -> int:
        return self.table.shape[0]

    @property
    def vocab(self) -> int:
        return self.extent

    def given(self, party: int, keys: Keys) -> torch.Tensor:
        return one_hot(party, keys, self.extent).long()

    def __call__(self, run: Run, given: torch.Tensor, start: int, pad: int) -> torch.Tensor:
        rows = Shared(self.table, None).of_share(run, padded(given, pad))
        if self.positions is None:
            return rows
        return rows + padded(self.positions[start : start + given.shape[0]], pad)


def held(run: Run, model: Folded, scales: Scales, shares: Sequence[Public]) -> Weights:
    """Open the matrices, all in one round, for any later run of the same party.

    Args:
        model: its shapes do.
        shares: of `whole(model, scales)`.
    """
    opened = run.open(*(share.weight for share in shares))
    linears = [Shared(Through.of(run, wire), share.bias) for wire, share in zip(opened, shares, strict=True)]
    table, *inner, head = linears
    layers = (Layer(_paired(inner[at], model.turn, scales), *inner[at + 1 : at + 5]) for at in range(0, len(inner), 5))
    return assemble(model, SharedRows(*table), layers, head)


def _paired(linear: Shared, turn: Turn | None, scales: Scales) -> SharedPaired:
    fine = scales.attending + scales.weight
    if turn is None:
        return SharedPaired(linear, None, fine - scales.query)
    bits = scales.query // 2  # numbers and what turns them err alike

    def at(start: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        cos, sin = turn(start, tokens)
        return encode(cos, bits), encode(sin, bits)

    return SharedPaired(linear, at, fine - scales.query + bits)
