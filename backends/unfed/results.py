"""What comes back from the end of the layers, and rows as whole numbers. Imports nothing of the engine: it is large."""

from __future__ import annotations

import msgspec
import numpy as np
import torch

from unfed.plugins import UnfedError

from .onion import Unsealed, bucket, padded, unpadded
from .statements import Signed

_ROWS, _STATED = b"rows", b"said"
_decode_stated = msgspec.msgpack.Decoder(list[Signed]).decode


def result(hidden: torch.Tensor) -> bytes:
    """Hidden states [1, t, width] float32 as they go back in a cell, at the length of a bucket."""
    data = _ROWS + hidden.contiguous().numpy().tobytes()
    return padded(data, bucket(len(data)))


def stated(statements: list[Signed]) -> bytes:
    """What all nodes of a session state, as it goes back in a cell."""
    data = _STATED + msgspec.msgpack.encode(statements)
    return padded(data, bucket(len(data)))


def read_back(data: bytes, width: int) -> torch.Tensor | list[Signed]:
    """Hidden states [1, t, width], or statements. Raises Unsealed for anything else."""
    found = unpadded(data)
    kind, found = found[:4], found[4:]
    if kind == _STATED:
        try:
            return _decode_stated(found)
        except msgspec.MsgspecError:
            raise Unsealed("a cell that states nothing") from None
    numbers = np.frombuffer(found, "<f4") if kind == _ROWS and len(found) % 4 == 0 else np.zeros(0, "<f4")
    if not numbers.size or numbers.size % width:
        raise Unsealed("a cell that holds no hidden states")
    return torch.from_numpy(numbers.copy()).reshape(1, -1, width)


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
