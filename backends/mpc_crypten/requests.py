"""What the first rank asks of the dealer: the name of one of CrypTen's functions, sizes, and nothing else."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch

LARGEST = 1 << 25
"""Elements of the largest tensor that is dealt: as many as fit one message."""
SIZES = {"additive": 2, "binary": 2, "square": 1, "B2A": 1}
"""CrypTen's functions for two ranks, and of how many tensors each takes sizes."""
OPERATIONS = ("mul", "matmul")


class Request(NamedTuple):
    """Attributes:
    function: one of `SIZES`.
    sizes: shapes of what it is asked for.
    operation: one of `OPERATIONS` for `additive`, else empty.
    """

    function: str
    sizes: tuple[tuple[int, ...], ...]
    operation: str = ""

    @classmethod
    def of(cls, function: str, arguments: tuple[Any, ...]) -> Request:
        """From the arguments that CrypTen's provider gives."""
        count = SIZES[function]
        sizes = tuple(tuple(int(extent) for extent in size) for size in arguments[:count])
        return cls(function, sizes, *arguments[count:])

    @classmethod
    def arrived(cls, fields: dict[str, Any]) -> Request:
        """From a message.

        Raises:
            ValueError: it is no request that the dealer serves.
        """
        function, sizes, operation = (fields.get(name) for name in ("function", "sizes", "operation"))
        if not isinstance(function, str) or function not in SIZES or fields.keys() != {*cls._fields}:
            raise ValueError("it asks for no function of the dealer's")
        if not isinstance(sizes, list) or len(sizes) != SIZES[function] or not all(map(_is_size, sizes)):
            raise ValueError(f"it asks for {function} with sizes that cannot be")
        if (operation not in OPERATIONS) if function == "additive" else (operation != ""):
            raise ValueError(f"it asks for {function} with an operation that is not served")
        request = cls(function, tuple(map(tuple, sizes)), str(operation))
        if max(math.prod(size) for size in (*request.sizes, result_shape(request))) > LARGEST:
            raise ValueError(f"it asks for more than {LARGEST} elements at once")
        return request

    def fields(self) -> dict[str, Any]:
        return {"function": self.function, "sizes": [list(size) for size in self.sizes], "operation": self.operation}

    def arguments(self) -> tuple[Any, ...]:
        """As CrypTen's server takes them."""
        return (*map(torch.Size, self.sizes), *([self.operation] if self.operation else []))


def result_shape(request: Request) -> tuple[int, ...]:
    """Shape of what is dealt. Raises ValueError where the sizes do not belong together."""
    try:
        if request.operation == "matmul":
            one, other = (torch.empty(size, device="meta") for size in request.sizes)
            return tuple(torch.matmul(one, other).shape)
        return tuple(torch.broadcast_shapes(*request.sizes))
    except RuntimeError:
        raise ValueError("it asks for tensors that do not belong together") from None


def _is_size(size: object) -> bool:
    return isinstance(size, list) and len(size) <= 8 and all(type(extent) is int and 0 < extent for extent in size)
