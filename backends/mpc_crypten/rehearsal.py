"""What a step will ask of the dealer, found by running it on zeros: it follows from lengths alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch

from .communicator import Communicator
from .dealing import Rehearsed, Zeros
from .library import MPCTensor
from .requests import Request
from .session import entered
from .transformer import PRECISION, Cache, Functions, Transformer

REMEMBERED = 128
"""Lengths whose requests are kept; a rehearsal takes as long as a step does without its messages."""


def on_shares(
    transformer: Transformer, functions: Functions, onehot: torch.Tensor, cache: Cache, start: int
) -> torch.Tensor:
    """A rank's share of the logits [vocab] after its shares of one-hot tokens [t, vocab], both int64."""
    tokens = MPCTensor.from_shares(onehot, precision=0)
    share: torch.Tensor = transformer.step(functions, tokens, cache, start).share
    return share


@lru_cache(REMEMBERED)
def requests_of(transformer: Transformer, functions: Functions, start: int, tokens: int) -> tuple[Request, ...]:
    """Of a step over `tokens` tokens that follow `start` others."""
    vocab = transformer.weights.table.shape[0]

    def program() -> torch.Tensor:
        cache = transformer.cache(start, lambda zeros: MPCTensor.from_shares(zeros, precision=PRECISION))
        return on_shares(transformer, functions, torch.zeros(tokens, vocab, dtype=torch.int64), cache, start)

    return rehearse(program)


def rehearse(program: Callable[[], Any]) -> tuple[Request, ...]:
    """What the first rank will ask for in `program`. It sends nothing."""
    dealt = Rehearsed()
    zeros = dict.fromkeys(("prev", "next", "local"), Zeros())
    with entered(Communicator(0, "", None, zeros), dealt):
        program()
    return tuple(dealt.requests)
