"""What comes back from the end of the layers."""

from __future__ import annotations

import msgspec
import numpy as np
import torch

from ..circuits.onion import Unsealed, bucket, padded, unpadded
from ..integrity.statements import Signed

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
