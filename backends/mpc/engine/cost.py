"""What a program will cost, from shapes alone and before anything is dealt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from .blank import blank
from .session import Gate, Linear, Shapes
from .wire import Mask, Wire


class Cost(NamedTuple):
    """Attributes:
    rounds: exchanges between the nodes.
    sent: bytes that each node sends to the other, without framing.
    common, second: bytes of material that both nodes receive, and that the second one alone does.
    ahead: bytes that each node sends to the other before there are inputs, in one round if there are any.
    """

    rounds: int
    sent: int
    common: int
    second: int
    ahead: int = 0


def predict(program: Callable[..., Any], *shapes: tuple[int, ...]) -> Cost:
    """The cost of `program(run, *shares)` on shares of these shapes."""
    run = _Predicting()
    program(run, *(blank(*shape) for shape in shapes))
    return Cost(run.rounds, run.sent, run.draw.common_bytes, run.draw.second_bytes, run.ahead_bytes)


class _Counting:
    """Counts what a `Draw` would read at the second node, and hands out shapes without content."""

    def __init__(self) -> None:
        self.party = 1
        self.common_bytes = self.second_bytes = 0

    def mask(self, *shape: int) -> torch.Tensor:
        return blank(*shape)

    def share(self, *shape: int) -> torch.Tensor:
        share = blank(*shape)
        self.second_bytes += 8 * share.numel()
        return share

    def roots(self, count: int) -> Any:
        return None

    def common(self, kind: Any, *shape: int) -> Any:
        self.common_bytes += int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize


class _Predicting(Shapes):
    def __init__(self) -> None:
        self.draw: Any = _Counting()
        self.rounds = self.sent = self.ahead_bytes = 0

    def open(self, *shares: torch.Tensor) -> tuple[Wire, ...]:
        self.rounds += 1
        self.sent += 8 * sum(each.numel() for each in shares)
        return tuple(_wire(each) for each in shares)

    def given(self, opened: torch.Tensor) -> Wire:
        return _wire(opened)

    def renew(self, wire: Wire, linear: Linear, plus: torch.Tensor | None = None) -> Wire:
        renewed = _wire(linear(blank(*wire.shape)))
        self.ahead_bytes += 8 * renewed.value.numel()
        return renewed

    def apply(self, gate: Gate, *wires: Wire) -> Any:
        return gate.read(self.draw, *wires)[1]


def _wire(like: torch.Tensor) -> Wire:
    return Wire(blank(*like.shape), (Mask(blank(*like.shape)),))
