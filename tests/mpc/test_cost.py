"""What is predicted of a program is what it then costs."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from machine import run

from unfed.backends.mpc.engine import cost, gates, ring
from unfed.backends.mpc.engine.blank import blank
from unfed.backends.mpc.engine.gates import (
    AtLeast,
    Below,
    Choose,
    MatMul,
    Outside,
    Product,
    Relu,
    Spline,
    SquareSum,
    Table,
    Through,
    Truncate,
    Width,
)
from unfed.backends.mpc.engine.gates.spline import relative
from unfed.backends.mpc.engine.gates.table import bins
from unfed.backends.mpc.engine.material import Deal
from unfed.backends.mpc.engine.session import Dealing, Run
from unfed.backends.mpc.engine.tournament import argmax, largest

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


HALF = Width(range=40, drop=8)
GATES: dict[str, tuple[Any, list[tuple[int, ...]], int, int]] = {
    # name: gate, what goes in, and bytes as its docstring has them: common, for the second node
    "Product": (Product(), [(3, 4), (3, 4)], 0, 12 * 8),
    "MatMul": (MatMul(), [(3, 4), (4, 5)], 0, 15 * 8),
    "Through": (Through, [(3, 4), (4, 5)], 0, 15 * 8),  # made from the second wire, which is opened once
    "SquareSum": (SquareSum(), [(3, 4)], 0, 3 * 8),
    "Truncate": (Truncate(20), [(3, 4)], 0, 12 * 16),
    "Below": (Below(3, HALF), [(3, 4)], 12 * (25 * 32 + 8), 0),
    "Outside": (Outside(-3, 3), [(3, 4)], 12 * (25 * 64 + 8), 0),
    "AtLeast": (AtLeast(3, HALF), [(3, 4)], 12 * (33 * 32 + 16), 0),
    "Relu": (Relu(), [(3, 4)], 12 * (33 * 64 - 17), 0),
    "Choose": (Choose(HALF), [(3, 4), (3, 4)], 12 * (41 * 32 - 17), 0),
    "Spline": (Spline(ROOT), [(3, 4)], 12 * (49 * ROOT.knots.levels + 32 * len(ROOT.knots.stops)), 12 * 24),
    "Table": (Table(WAVE), [(3, 4)], 12 * (17 * 6 + 8 * 3), 0),
}


def test_every_gate_is_listed_and_says_what_it_costs() -> None:
    public = {name for name in gates.__all__ if hasattr(getattr(gates, name), "compute")}
    assert public == set(GATES)
    for each in (*(getattr(gates, name) for name in public), largest, argmax, Run.open, Run.given, Run.renew):
        told = each.__doc__ or ""
        assert re.search(r"Rounds: (0|1|⌈log2 n⌉)", told) and "Bytes" in told, each
        assert re.search(r"\b(19|20)\d\d\b|`Relu`|`Choose`", told), f"{each} tells no source"


@pytest.mark.parametrize("name", GATES)
def test_every_gate_costs_what_it_says_and_what_is_predicted(name: str) -> None:
    gate, shapes, common, second = GATES[name]

    def program(run: Any, *shares: torch.Tensor) -> Any:
        x, *others = run.open(*shares)
        return run.apply(Through.of(run, *others), x) if gate is Through else run.apply(gate, x, *others)

    predicted = cost.predict(program, *shapes)
    opened = 8 * sum(math.prod(shape) for shape in shapes)
    assert predicted == (1, opened, common, second, 0)
    deal = Deal()
    program(Dealing(deal), *(blank(*shape) for shape in shapes))
    for party, (_, of_both, own) in enumerate(deal.parts()):
        assert (len(of_both), len(own)) == (common, second if party else 0)
    _, nodes = run(program, *(ring.uniform(*shape) for shape in shapes))
    assert all((node.rounds, node.sent) == (1, opened) for node in nodes)


@pytest.mark.parametrize("gate", [Truncate(3), Relu(), SquareSum(), Table(WAVE), Spline(ROOT)])
def test_a_prediction_deals_nothing(gate: Any) -> None:
    """A sequence far longer than memory would hold the material of."""
    predicted = cost.predict(lambda run, x: run.apply(gate, *run.open(x)), (1 << 22, 1 << 10))
    assert predicted.rounds == 1 and predicted.sent == 8 << 32
