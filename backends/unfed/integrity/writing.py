"""Texts for decoys, written by the model itself: what it was trained on is the next best guess at what it is asked.

As in Magpie (Xu et al. 2024, arXiv:2406.08464), where a model that is given the beginning of a question goes on with
one. What is drawn is nobody's text, so that whoever checks a decoy may read it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

import torch

Logits = Callable[[list[int], int], torch.Tensor]
"""Token ids and the place of the first → logits [vocab] after the last of them."""

_random = secrets.SystemRandom()


def write(logits: Logits, before: Sequence[int], never: int, length: int) -> list[int]:
    """`length` tokens that go on from `before`, drawn at temperature 1 by the system's generator.

    Args:
        never: a token that is not drawn, as it would end the text; a negative number for none.
    """
    found: list[int] = []
    given, start = list(before), 0
    while len(found) < length:
        chances = torch.softmax(logits(given, start).double(), -1)
        if never >= 0:
            chances[never] = 0.0
        start += len(given)
        reached = chances.cumsum(-1)
        aim = _random.random() * float(reached[-1])
        given = [min(int(torch.searchsorted(reached, aim, right=True)), len(chances) - 1)]
        found += given
    return found
