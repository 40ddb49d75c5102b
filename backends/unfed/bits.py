"""Rows of float32 numbers as the whole numbers that their bits are. Imports nothing of the engine: it is large."""

from __future__ import annotations

import torch

from unfed.plugins import UnfedError


def bits_of(numbers: torch.Tensor) -> torch.Tensor:
    """float32 as the whole numbers that their bits are, int64; -0 becomes 0, which is the same number."""
    return (numbers.float() + 0.0).contiguous().view(torch.int32).long()


def numbers_of(bits: torch.Tensor) -> torch.Tensor:
    """int32 as the float32 numbers whose bits they are.

    Raises:
        UnfedError: they are no finite numbers, as when shares of different things are added.
    """
    numbers = bits.view(torch.float32)
    if not numbers.isfinite().all():
        raise UnfedError("the shares of the two entries do not add up to rows of numbers", kind="protocol")
    return numbers
