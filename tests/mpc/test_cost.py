"""What is predicted of a program is what it then costs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from machine import run

from unfed.backends.mpc.engine import cost, ring
from unfed.backends.mpc.engine.blank import blank
from unfed.backends.mpc.engine.gates import Below, MatMul, Product, Relu, Spline, SquareSum, Table, Through, Truncate
from unfed.backends.mpc.engine.gates.spline import relative
from unfed.backends.mpc.engine.gates.table import bins
from unfed.backends.mpc.engine.session import Deal, Dealing

ROOT = relative(lambda x: x**-0.5, 2**30, 2**40, 8)
WAVE = bins(lambda x: x * x, 10, 16, 6, 20)


def everything(run: Any, a: torch.Tensor, b: torch.Tensor) -> Any:
    """A program that applies every gate."""
    x, y = run.open(a, b)
    small = run.apply(Truncate(20), x)
    total = run.apply(SquareSum(), small) + run.apply(Product(), small, run.apply(Truncate(40), x)).sum(
        -1, keepdim=True
    )
    (z,) = run.open(run.apply(MatMul(), x, y) + run.public(torch.ones(3, 2, dtype=torch.int64)))
    total = total + run.apply(Through.of(run, y), x).sum()
    spline, outside = run.apply(Spline(ROOT), z)
    return (
        total.sum()
        + run.apply(Relu(), z).sum()
        + spline.sum()
        + outside.sum()
        + run.apply(Below(3), z).sum()
        + run.apply(Table(WAVE), z).sum()
    )


def test_prediction_is_measurement() -> None:
    predicted = cost.predict(everything, (3, 4), (4, 2))
    _, nodes = run(everything, ring.uniform(3, 4) >> 3, ring.uniform(4, 2))
    for node in nodes:
        assert (node.rounds, node.sent) == (predicted.rounds, predicted.sent) == (2, 8 * (12 + 8 + 6))
    deal = Deal()
    everything(Dealing(deal), blank(3, 4), blank(4, 2))
    (_, common, nothing), (_, same, second) = deal.parts()
    assert (len(common), len(second)) == (predicted.common, predicted.second)
    assert same == common and not nothing


@pytest.mark.parametrize("gate", [Truncate(3), Relu(), SquareSum(), Table(WAVE), Spline(ROOT)])
def test_a_prediction_deals_nothing(gate: Any) -> None:
    """A sequence far longer than memory would hold the material of."""
    predicted = cost.predict(lambda run, x: run.apply(gate, *run.open(x)), (1 << 22, 1 << 10))
    assert predicted.rounds == 1 and predicted.sent == 8 << 32
