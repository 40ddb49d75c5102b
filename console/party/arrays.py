"""Arrays as they travel: raw little-endian bytes with an element type and a shape."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import numpy as np

from unfed.plugins import UnfedError

MAX_DIMENSIONS = 16

SIZES = {
    "bool": 1,
    "uint8": 1,
    "int8": 1,
    "int16": 2,
    "uint16": 2,
    "float16": 2,
    "bfloat16": 2,
    "int32": 4,
    "uint32": 4,
    "float32": 4,
    "int64": 8,
    "uint64": 8,
    "float64": 8,
}
"""Element types that travel, by torch's names, with their size in bytes."""

_HALVES = frozenset({"float16", "bfloat16"})
"""Types whose elements a memoryview cannot describe."""


def as_bytes(value: Any) -> tuple[str, tuple[int, ...], memoryview]:
    """Element type, shape and bytes of a torch tensor or numpy array (no copy where it is contiguous).

    Raises:
        UnfedError: an element type or a number of dimensions that does not travel.
    """
    shape = tuple(value.shape)
    dtype = _name_of(value.dtype)
    if dtype not in SIZES or len(shape) > MAX_DIMENSIONS:
        raise UnfedError(
            f"an array of {len(shape)} dimensions of {dtype} does not travel",
            kind="role",
            hint=f"at most {MAX_DIMENSIONS} dimensions of {', '.join(SIZES)}",
        )
    try:  # what most are: few calls, for after a model's layers each costs as long as a short message
        array = value if isinstance(value, np.ndarray) else value.numpy()
        return dtype, shape, array.data.cast("B")
    except (AttributeError, RuntimeError, TypeError, ValueError):  # a scalar, not contiguous, a half type, gradients …
        return dtype, shape, _gathered(value, dtype)


def _gathered(value: Any, dtype: str) -> memoryview:
    """The bytes of an array that cannot be taken as it lies."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        value = value.detach().cpu().resolve_neg().contiguous()
        value = (value.view(torch.uint16) if dtype in _HALVES else value).numpy()
    else:
        value = np.ascontiguousarray(value)
        value = value.view(np.uint16) if dtype in _HALVES else value
    return value.data.cast("B") if value.size else memoryview(b"")


@cache
def _name_of(dtype: Any) -> str:
    """An element type by torch's name."""
    return str(dtype).rpartition(".")[2]


def as_tensor(dtype: str, shape: tuple[int, ...], data: memoryview) -> Any:
    """The array as a torch tensor that shares `data`."""
    torch, kind = _torch(dtype)
    return (torch.frombuffer(data, dtype=kind) if data.nbytes else torch.empty(0, dtype=kind)).view(shape)


@cache
def _torch(dtype: str) -> tuple[Any, Any]:
    """The library, imported where tensors arrive and not before, and its name for an element type."""
    import torch

    return torch, getattr(torch, dtype)
