"""Shares without content: shapes that a program's operations turn into shapes.

torch's own way (its meta device) takes some fifty microseconds an operation, longer than the operations of a small
model themselves, and the dealer's and the preparing nodes' runs are made of nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, cast

import numpy as np
import torch

_NOTHING = np.zeros((), np.int8)


def blank(*shape: int) -> torch.Tensor:
    """A share or value without content; it passes for a tensor of int64 in what `Blank` knows to do."""
    return cast(torch.Tensor, Blank(shape))


class Blank:
    """The shape of a tensor, and what becomes of it. Layouts are worked out by numpy on an array of no extent."""

    __slots__ = ("shape",)

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = torch.Size(shape)

    def numel(self) -> int:
        return prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def dim(self) -> int:
        return len(self.shape)

    def _laid(self, layout: Callable[[Any], Any]) -> Blank:
        return Blank(layout(np.broadcast_to(_NOTHING, self.shape)).shape)

    def __getitem__(self, key: Any) -> Blank:
        return self._laid(lambda array: array[key])

    def reshape(self, *shape: Any) -> Blank:
        wanted = list(shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape)
        if -1 in wanted:
            known = -prod(wanted)
            wanted[wanted.index(-1)] = self.numel() // known if known else 0
        if prod(wanted) != self.numel():
            raise ValueError(f"{tuple(self.shape)} cannot be given the shape {shape}")
        return Blank(wanted)

    def permute(self, *dims: int) -> Blank:
        return Blank([self.shape[dim] for dim in dims])

    def transpose(self, one: int, other: int) -> Blank:
        return self._laid(lambda array: array.swapaxes(one, other))

    def diagonal(self, dim1: int, dim2: int) -> Blank:
        return self._laid(lambda array: array.diagonal(0, dim1, dim2))

    def expand(self, *shape: Any) -> Blank:
        return self._laid(lambda array: np.broadcast_to(array, shape[0] if len(shape) == 1 else shape))

    def sum(self, dim: int | None = None, keepdim: bool = False) -> Blank:
        if dim is None:
            return Blank(())
        shape = list(self.shape)
        shape[dim : dim + 1 or None] = [1] if keepdim else []
        return Blank(shape)

    def _with(self, other: Any) -> Blank:
        shape = getattr(other, "shape", ())
        if shape == self.shape or not shape:
            return Blank(self.shape)
        return Blank(np.broadcast_shapes(self.shape, shape))

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __lshift__ = _with

    def __neg__(self) -> Blank:
        return self

    def __matmul__(self, other: Any) -> Blank:
        return _matmul(self, other)

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, arguments: tuple[Any, ...] = (), named: dict[str, Any] | None = None
    ) -> Any:
        name = function.__name__
        if (known := _FUNCTIONS.get(name)) is None:
            raise TypeError(f"shares without content know no {name}")
        return known(*arguments, **(named or {}))


def _matmul(a: Any, b: Any) -> Blank:
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(f"{tuple(a.shape)} and {tuple(b.shape)} cannot be multiplied")
    return Blank((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]))


def _elementwise(a: Any, b: Any) -> Blank:
    return Blank(np.broadcast_shapes(getattr(a, "shape", ()), getattr(b, "shape", ())))


def _split(whole: Blank, sizes: Sequence[int], dim: int = 0) -> list[Blank]:
    shape = list(whole.shape)
    if sum(sizes) != shape[dim]:
        raise ValueError(f"{shape[dim]} cannot be split into {list(sizes)}")
    found = []
    for size in sizes:
        shape[dim] = size
        found.append(Blank(shape))
    return found


def _cat(parts: Sequence[Any], dim: int = 0) -> Blank:
    shape = list(parts[0].shape)
    shape[dim] = sum(part.shape[dim] for part in parts)
    return Blank(shape)


def _stack(parts: Sequence[Any], dim: int = 0) -> Blank:
    shape = list(parts[0].shape)
    shape.insert(dim if dim >= 0 else len(shape) + 1 + dim, len(parts))
    return Blank(shape)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "split": _split,
    "cat": _cat,
    "stack": _stack,
    **dict.fromkeys(("matmul", "__matmul__"), _matmul),
    "__rmatmul__": lambda a, b: _matmul(b, a),
    **dict.fromkeys(("add", "sub", "mul", "rsub", "__add__", "__sub__", "__mul__", "__rsub__"), _elementwise),
}
