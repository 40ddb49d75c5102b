"""The public tables that a model's program looks up: of roots, exponentials, their sum's inverse, the activation."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from unfed.plugins import UnfedError

from ..engine.gates.spline import Pieces, relative
from ..engine.gates.table import Bins, bins
from .scales import Format
from .weights import Weights

ROOT_PIECES, INVERSE_PIECES = 24, 16
"""Pieces of a normaliser's root and of softmax's inverse per doubling."""
EXP_WIDTH, GATE_WIDTH = 0.125, 0.25
"""Extent of a table's bins."""


class Approximations(NamedTuple):
    """Attributes:
    roots: one per normaliser.
    middle: what is taken off what goes into the exponential, so that its range lies evenly around zero.
    activation: None for ReLU, which is a comparison.
    """

    roots: tuple[Pieces, ...]
    exp: Bins
    middle: float
    inverse: Pieces
    activation: Bins | None


def approximate(weights: Weights, format: Format) -> Approximations:
    """Tables that hold within the format's ranges.

    Raises:
        UnfedError: an activation function that there is no table of, or ranges too wide for one.
    """
    activation = ACTIVATIONS.get(weights.activation)
    if activation is None and weights.activation != RELU:
        known = ", ".join((RELU, *ACTIVATIONS))
        raise UnfedError(f"the activation {weights.activation!r} is not supported", hint=f"the tables are of {known}")
    ranges, scales, reach = format
    square = 2.0 ** (2 * scales.residual) * weights.hidden
    try:
        roots = tuple(
            relative(
                partial(_root, square, weights.epsilon), max(1, int(low * square)), int(high * square), ROOT_PIECES
            )
            for low, high in ranges.squares
        )
        low, high = (int(bound * 2.0**scales.exp) for bound in ranges.total)
        inverse = relative(lambda total: 2.0**scales.exp / total, low, high, INVERSE_PIECES, kept=13)
    except ValueError as error:
        raise UnfedError(
            f"this model's numbers spread too widely: {error}", hint="use backend plain or split"
        ) from None
    width = 2 ** math.ceil(math.log2(ranges.score[1] - ranges.score[0] + 2 * EXP_WIDTH))
    middle = ranges.score[0] + width / 2
    exp = bins(
        lambda x: np.exp(x + middle),
        scales.score,
        scales.score + int(math.log2(width)),
        int(math.log2(width / EXP_WIDTH)),
        scales.exp,
    )
    gates = (
        None
        if activation is None
        else bins(
            activation,
            scales.activation,
            scales.activation + 1 + int(math.log2(reach)),
            int(math.log2(2 * reach / GATE_WIDTH)),
            scales.activated,
            degree=3,
            fine=12,
        )
    )
    return Approximations(roots, exp, middle, inverse, gates)


def _root(square: float, epsilon: float, total: np.ndarray) -> np.ndarray:
    return np.asarray((total / square + epsilon) ** -0.5)


def _erf(x: np.ndarray) -> np.ndarray:
    return torch.erf(torch.from_numpy(np.asarray(x))).numpy()


ACTIVATIONS = {
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: x * 0.5 * (1 + _erf(x / np.sqrt(2))),
    "gelu_new": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
}
"""Smooth ones alone: a polynomial would round off the corner of ReLU by hundredths, unseen."""
RELU = "relu"
