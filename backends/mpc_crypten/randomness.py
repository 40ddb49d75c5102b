"""What CrypTen draws its masks from here: AES-128 in counter mode, in place of torch's generators.

A torch generator on the CPU is a Mersenne twister seeded with 32 bits: whoever sees a few hundred of its numbers knows
all of them, and its seed can be tried out. CrypTen masks every secret that it opens with such numbers.
"""

from __future__ import annotations

import secrets
from typing import Any

import torch

from ..mpc.engine import ring

WORD = 64


class Generator:
    """A stream of ring elements where CrypTen expects a `torch.Generator`."""

    device = torch.device("cpu")

    def __init__(self, seed: bytes) -> None:
        self._stream = ring.Stream(seed)

    @classmethod
    def fresh(cls) -> Generator:
        """From the system's own generator."""
        return cls(secrets.token_bytes(ring.SEED))

    def take(self, shape: tuple[int, ...]) -> torch.Tensor:
        return self._stream.take(*shape)


def ring_element(size: Any, ring_size: int = 2**WORD, generator: Any = None, **_: Any) -> torch.Tensor:
    """Stands for `crypten.common.rng.generate_random_ring_element`: uniform over Z_2^64."""
    if ring_size != 2**WORD:
        raise ValueError("only the ring of 64-bit words is served")
    return (Generator.fresh() if generator is None else generator).take(_shape(size))


def kbit(size: Any, bitlength: int | None = None, generator: Any = None, **_: Any) -> torch.Tensor:
    """Stands for `crypten.common.rng.generate_kbit_random_tensor`: words of which the low bits are uniform."""
    words = ring_element(size, generator=generator)
    return words if bitlength in (None, WORD) else words & ((1 << bitlength) - 1)


def _shape(size: Any) -> tuple[int, ...]:
    return (size,) if isinstance(size, int) else tuple(size)
