"""The digits that scikit-learn brings along, as images in [0, 1], and which of them are held out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from sklearn.datasets import load_digits  # type: ignore[import-untyped, unused-ignore]

CLASSES = tuple("0123456789")
HELD_OUT = 597
"""Of 1797 images."""
SPLIT_SEED = 1
LEVELS = 16
"""The darkest pixel of the data."""


class Digits(NamedTuple):
    """`grey` [n, 8, 8] uint8, as the PNG files hold them; `labels` [n]; `numbers` [n], places in the data."""

    grey: np.ndarray
    labels: torch.Tensor
    numbers: list[int]

    @property
    def images(self) -> torch.Tensor:
        """[n, 1, 8, 8] float32: just what a PNG's pixels are read as."""
        return torch.tensor(self.grey.astype(np.float32) / np.float32(255))[:, None]


def load() -> tuple[Digits, Digits]:
    """Those to train on, and those held out."""
    found = load_digits()
    grey = np.rint(found.images * (255 / LEVELS)).astype(np.uint8)
    order = torch.randperm(len(grey), generator=torch.Generator().manual_seed(SPLIT_SEED)).numpy()

    def part(places: np.ndarray) -> Digits:
        return Digits(grey[places], torch.tensor(found.target[places]), [int(place) for place in places])

    return part(order[HELD_OUT:]), part(order[:HELD_OUT])
