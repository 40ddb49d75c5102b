"""Z_2^64 on torch int64, whose arithmetic wraps as the ring's does, and fixed-point numbers in it."""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

BITS = 64
SEED = 16
"""Bytes of a stream's seed."""


def encode(value: torch.Tensor, scale: int) -> torch.Tensor:
    """Real numbers as multiples of 2^-scale, rounded to nearest: int64 of the same shape (and as empty, on meta).

    Raises:
        OverflowError: a value that is not finite, or too large for 62 bits at that scale.
    """
    if value.is_meta:
        return torch.empty(value.shape, dtype=torch.int64, device="meta")
    scaled = np.asarray(np.rint(value.detach().double().numpy() * 2.0**scale))
    if not (np.abs(scaled) < 2.0**62).all():
        raise OverflowError(f"a value does not fit 62 bits at a scale of 2^-{scale}")
    return torch.from_numpy(scaled.astype(np.int64))


def decode(value: torch.Tensor, scale: int) -> torch.Tensor:
    """What `encode` made, as float64."""
    return value.double() * 2.0**-scale


def shift(value: torch.Tensor, bits: int) -> torch.Tensor:
    """Shift right, reading the element as unsigned; `bits` from 0 to 63."""
    return value if bits == 0 else (value >> bits) & ((1 << (BITS - bits)) - 1)


def words(value: torch.Tensor) -> Any:
    """The elements as numpy uint64, for kernels."""
    return value.contiguous().numpy().view("uint64")


def uniform(*shape: int) -> torch.Tensor:
    """Fresh ring elements from the system's generator."""
    return Stream(secrets.token_bytes(SEED)).take(*shape)


def share(value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Two tensors, each uniform by itself, that add up to `value`."""
    first = uniform(*value.shape)
    return first, value - first


class Stream:
    """Pseudorandom ring elements from a secret seed of 16 bytes: AES-128 in counter mode."""

    def __init__(self, seed: bytes) -> None:
        self._next = Cipher(AES(seed), CTR(bytes(16))).encryptor()

    def bytes(self, count: int) -> bytearray:
        return bytearray(self._next.update(bytes(count)))

    def take(self, *shape: int) -> torch.Tensor:
        """The next elements, int64."""
        count = 1
        for extent in shape:
            count *= extent
        if not count:
            return torch.zeros(shape, dtype=torch.int64)
        return torch.frombuffer(self.bytes(8 * count), dtype=torch.int64).reshape(shape)

    def roots(self, count: int) -> Any:
        """Seeds of function keys: numpy uint64 [count, 2]."""
        return np.frombuffer(self.bytes(16 * count), np.uint64).reshape(count, 2)
