"""The activation functions that a program may meet, each as x times a sigmoid of something odd in x."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch


class Activation(NamedTuple):
    """x · σ(linear · x + cubic · x³).

    Attributes:
        exact: what the model computes.
    """

    linear: float
    cubic: float
    exact: Callable[[torch.Tensor], torch.Tensor]


_TANH = math.sqrt(8 / math.pi)
ACTIVATIONS = {
    "silu": Activation(1.0, 0.0, torch.nn.functional.silu),
    "gelu_new": Activation(_TANH, 0.044715 * _TANH, lambda x: torch.nn.functional.gelu(x, approximate="tanh")),
    "gelu": Activation(_TANH, 0.044715 * _TANH, torch.nn.functional.gelu),  # off by 4.7e-4 at most
}
