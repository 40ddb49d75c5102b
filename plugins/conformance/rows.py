"""Looks for vectors of a secret, up to scale, in arrays."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .haystack import Numbers

CLOSE = 5e-3
"""Largest error of a recognised row, relative to its largest value: coarser than bfloat16, far finer than chance."""


class Rows:
    """Targets [m, width].

    Args:
        shift: they are looked for up to a constant too, so that logits are found as log-probabilities and as
            probabilities.
    """

    def __init__(self, targets: Numbers, shift: bool = False) -> None:
        self.width = targets.shape[1]
        self._shift = shift
        self._far = _unit(targets.astype(np.float64), shift)
        self._most = CLOSE * np.abs(self._far).max(axis=1)

    def within(self, rows: Numbers) -> bool:
        """Whether any row [n, width] is any target up to scale."""
        for candidates in self._candidates(rows):
            near = _unit(candidates, self._shift)
            cosine = near @ self._far.T
            for place, target in np.argwhere(np.abs(cosine) > 1 - 1e-4):
                sign = np.sign(cosine[place, target])
                if np.abs(near[place] - sign * self._far[target]).max() <= self._most[target]:
                    return True
        return False

    def _candidates(self, rows: Numbers) -> Iterator[Numbers]:
        yield rows
        if self._shift and (positive := (rows > 0).all(axis=1)).any():
            yield np.log(rows[positive])


def _unit(rows: Numbers, shift: bool) -> Numbers:
    if shift:
        rows = rows - rows.mean(axis=1, keepdims=True)
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    units: Numbers = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
    return units
