"""Whether what a party sees is spread evenly over the ring."""

from __future__ import annotations

import numpy as np


def is_uniform(values: np.ndarray) -> bool:
    """Chi-square over the bytes of 64-bit words, place by place: 255 degrees of freedom, false alarms below 1e-9."""
    rows = np.ascontiguousarray(values).reshape(-1).view(np.uint8).reshape(-1, 8)
    expected = len(rows) / 256
    assert expected >= 5, "too few values for the test to mean anything"
    for column in rows.T:
        counts = np.bincount(column, minlength=256)
        if ((counts - expected) ** 2 / expected).sum() > 430:
            return False
    return True
