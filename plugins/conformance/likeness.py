"""Whether two greedy answers to one query are the same but for rounding, as masked or noisy arithmetic rounds anew."""

from __future__ import annotations

import numpy as np

from ..query import Token
from .exchange import Exchange

ROUNDING = 0.1
"""Largest difference of two logits of one step, in standard deviations of that step's logits. Logits of another prompt
differ by several; arithmetic that is further off than this would be of little use."""


def alike(one: Exchange, two: Exchange) -> bool:
    """Whether the answers agree token by token, or part only where rounding may tip the choice.

    Where a token differs, the two were asked different questions from there on. Needs `Query.logits` to tell rounding
    from anything else.
    """
    same = one.answer == two.answer
    if same and (len(one.tokens) != 1 or not one.tokens[0].logits):
        return True  # a single token, as an image's class, is soon the same by chance: there logits must agree too
    for mine, theirs in zip(one.tokens, two.tokens, strict=False):
        if not _near(mine, theirs):
            return False
        if mine.id != theirs.id:
            return True
    return same


def _near(mine: Token, theirs: Token) -> bool:
    if not mine.logits or not theirs.logits or len(mine.logits) != len(theirs.logits) or len(mine.logits) % 4:
        return False
    ours, others = (np.frombuffer(token.logits or b"", "<f4").astype(np.float64) for token in (mine, theirs))
    return bool(np.abs(ours - others).max() <= ROUNDING * others.std())
