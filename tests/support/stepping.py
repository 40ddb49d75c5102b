"""A model's program run step by step in one process, for tests of how its cache and its padding hold up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from unfed.backends.mpc.engine.blank import blank
from unfed.backends.mpc.engine.session import Computing
from unfed.backends.mpc.transformer.program import Cache, Transformer


def in_steps(transformer: Transformer, run: Any, parts: Sequence[torch.Tensor], pad: int = 0) -> Any:
    """The last step's result; what is made for the first one covers `pad` more rows than there are tokens."""
    cache, start, result = Cache(), 0, None
    for part in parts:
        rows = part.shape[0] + (0 if start else pad)
        computes = isinstance(run, Computing)
        given = part if computes else blank(rows, part.shape[1])
        result = transformer.step(run, given, cache, start, pad if computes else 0)
        start += rows
    return result


def stepping(transformer: Transformer, pad: int = 0) -> Callable[..., Any]:
    """That as a program of a run and its parts."""
    return lambda run, *parts: in_steps(transformer, run, parts, pad)
