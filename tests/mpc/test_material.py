"""What a node takes for material: bytes as the dealer sends them, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from unfed.backends.mpc.transformer.running import Material
from unfed.plugins import UnfedError

PLAIN: dict[str, Any] = {
    "seed": bytes(16),
    "common": torch.arange(5, dtype=torch.uint8),
    "own": torch.empty(0, dtype=torch.uint8),
}


def test_bytes_are_taken_as_they_lie() -> None:
    seed, common, own = Material.travelled(PLAIN, "dealer")
    assert (seed, bytes(common), bytes(own)) == (bytes(16), bytes(range(5)), b"")


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": bytes(15)},
        {"seed": "0" * 16},
        {"common": torch.tensor(3, dtype=torch.uint8)},
        {"common": torch.zeros(2, 2, dtype=torch.uint8)},
        {"own": torch.zeros(3, dtype=torch.int64)},
        {"own": None},
        {"common": b"bytes"},
    ],
)
def test_anything_else_is_the_dealers_fault(wrong: dict[str, Any]) -> None:
    with pytest.raises(UnfedError) as raised:
        Material.travelled(PLAIN | wrong, "dealer")
    assert (raised.value.failure.party, raised.value.failure.kind) == ("dealer", "protocol")
