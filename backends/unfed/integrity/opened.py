"""What parties open to the verifier, read with care: they may send anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from unfed.plugins import UnfedError

from .proof import Rows


def read_rows(name: str, found: Mapping[str, Any]) -> list[Rows]:
    """Steps as `Ledgers.reveal` gives them. Raises UnfedError (`protocol`, naming the party) for anything else."""
    try:
        rows, starts = torch.split(found["rows"], found["sizes"]), [int(start) for start in found["starts"]]
        if not all(0 <= start < 2**62 for start in starts):
            raise ValueError("no place")
        return [Rows(start, each) for start, each in zip(starts, rows, strict=True)]
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError):
        raise UnfedError("opened what are no rows", kind="protocol", party=name) from None


def read_shares(name: str, found: Mapping[str, Any], width: int) -> tuple[list[Rows], int]:
    """Steps of shares [t, width] over Z_2^64, and their scale. Raises UnfedError likewise."""
    shares, scale = read_rows(name, found), found.get("scale")
    if not (isinstance(scale, int) and 0 <= scale < 63) or any(
        rows.dtype is not torch.int64 or rows.dim() != 2 or rows.shape[1] != width or not len(rows)
        for _, rows in shares
    ):
        raise UnfedError("opened what are no shares", kind="protocol", party=name)
    return shares, scale
