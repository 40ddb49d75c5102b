"""Roots, exponentials, softmax and activations under CrypTen's protocols, at the ends of their ranges too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from crypten_machine import run
from hypothesis import given, settings
from hypothesis import strategies as st

from unfed.backends.mpc_crypten.activations import ACTIVATIONS
from unfed.backends.mpc_crypten.functions import Crypten, exponential, reciprocal, squarings
from unfed.backends.mpc_crypten.library import MPCTensor
from unfed.backends.mpc_crypten.newton import ENOUGH, reciprocal_start, root_start
from unfed.backends.mpc_crypten.ranges import Ranges
from unfed.backends.mpc_crypten.transformer import PRECISION

RANGES = Ranges(((0.02, 0.8), (300.0, 2000.0)), score=20.0, gate=15.0)


def under(function: Callable[[Any], Any], x: torch.Tensor) -> torch.Tensor:
    """What `function` of shares of x gives, opened."""
    fixed = torch.round(x.double() * 2.0**PRECISION).long()
    (one, other), _ = run(lambda share: function(MPCTensor.from_shares(share, precision=PRECISION)).share, fixed)
    return (one + other).double() * 2.0**-PRECISION


WIDE = st.floats(1e-6, 1e6), st.floats(1.0, 1e5)


@settings(max_examples=60, deadline=None)
@given(*WIDE)
def test_newton_reaches_what_it_promises_over_the_whole_range(low: float, ratio: float) -> None:
    for start, step, wanted in (
        (reciprocal_start, lambda x, y: y * (2 - x * y), lambda x: 1 / x),
        (root_start, lambda x, y: y * (3 - x * y * y) / 2, lambda x: x**-0.5),
    ):
        first, slope, steps = start(low, low * ratio)
        x = low * torch.logspace(0, 1, 200, base=ratio, dtype=torch.float64)
        y = first - slope * x
        for _ in range(steps):
            y = step(x, y)
        assert ((y / wanted(x)) - 1).abs().max() <= 1.01 * ENOUGH


def test_exponentials() -> None:
    x = -torch.linspace(0, 40, 400)
    assert (under(lambda x: exponential(x, squarings(40.0)), x) - x.double().exp()).abs().max() <= 1e-3


def test_reciprocals() -> None:
    x = torch.linspace(0.25, 4, 300)
    assert (under(lambda x: reciprocal(x, 0.25, 4.0), x) * x - 1).abs().max() <= 5e-4


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    x = torch.linspace(-5, 5, 501)
    exact = ACTIVATIONS[name].exact(x.double())
    assert (under(lambda x: Crypten(RANGES).activate(x, name), x) - exact).abs().max() <= 1.5e-3


@pytest.mark.parametrize("site", [0, 1])
def test_norms_hold_far_outside_of_what_was_watched(site: int) -> None:
    torch.manual_seed(0)
    low, high = RANGES.squares[site]
    size = torch.logspace(0, 1, 24, base=high / low * 1000) * low / 30  # mean squares
    x = torch.randn(24, 64) * size[:, None].sqrt()
    epsilon = low / 50
    exact = x / (x.square().mean(-1, keepdim=True) + epsilon).sqrt()
    error = (under(lambda x: Crypten(RANGES).normalise(x, epsilon, site), x) - exact).abs().amax(-1)
    assert error[size > low].max() <= 3e-3
    assert error.max() <= 2e-2


def test_softmax_over_what_is_seen() -> None:
    torch.manual_seed(0)
    scores, seen = torch.randn(3, 7, 9) * 4, torch.ones(7, 9, dtype=torch.int64).tril(2).expand(3, 7, 9)
    exact = scores.double().masked_fill(seen == 0, -torch.inf).softmax(-1)
    found = under(lambda x: Crypten(RANGES).softmax(x, seen), scores)
    assert (found - exact).abs().max() <= 5e-4
    assert not found[seen == 0].any(), "what may not be seen counts exactly nothing"
    one = torch.ones(3, 1, 1, dtype=torch.int64)
    assert torch.equal(under(lambda x: Crypten(RANGES).softmax(x, one), scores[:, :1, :1]), one.double())
