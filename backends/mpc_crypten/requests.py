"""What the first rank asks of the dealer: names of CrypTen's functions, sizes, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch

LARGEST = 1 << 24
"""Elements of what one message is answered with, which then fits a frame; and of each tensor that is multiplied."""
MOST = 1 << 12
"""Requests in one message."""
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
    def arrived(cls, parts: object) -> Request:
        """From its part of a message.

        Raises:
            ValueError: it is no request that the dealer serves.
        """
        if not isinstance(parts, list) or len(parts) != 3 or not isinstance(parts[0], str) or parts[0] not in SIZES:
            raise ValueError("it asks for no function of the dealer's")
        function, sizes, operation = parts
        if not isinstance(sizes, list) or len(sizes) != SIZES[function] or not all(map(_is_size, sizes)):
            raise ValueError(f"it asks for {function} with sizes that cannot be")
        if (operation not in OPERATIONS) if function == "additive" else (operation != ""):
            raise ValueError(f"it asks for {function} with an operation that is not served")
        request = cls(function, tuple(map(tuple, sizes)), operation)
        if max(*(math.prod(size) for size in request.sizes), request.elements) > LARGEST:
            raise ValueError(f"it asks for more than {LARGEST} elements at once")
        return request

    def parts(self) -> list[Any]:
        """As it travels."""
        return [self.function, [list(size) for size in self.sizes], self.operation]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what is dealt. Raises ValueError where the sizes do not belong together."""
        try:
            if self.operation == "matmul":
                one, other = (torch.empty(size, device="meta") for size in self.sizes)
                return tuple(torch.matmul(one, other).shape)
            return tuple(torch.broadcast_shapes(*self.sizes))  # type: ignore[no-untyped-call]
        except RuntimeError:
            raise ValueError("it asks for tensors that do not belong together") from None

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    def arguments(self) -> tuple[Any, ...]:
        """As CrypTen's server takes them."""
        return (*map(torch.Size, self.sizes), *([self.operation] if self.operation else []))


def arrived(fields: dict[str, Any]) -> list[Request]:
    """The requests of one message. Raises ValueError where it is not made of such."""
    parts = fields.get("requests")
    if not isinstance(parts, list) or len(fields) != 1 or not 0 < len(parts) <= MOST:
        raise ValueError("it is no list of requests")
    requests = [Request.arrived(each) for each in parts]
    if sum(request.elements for request in requests) > LARGEST:
        raise ValueError(f"it asks for more than {LARGEST} elements at once")
    return requests


def batches(requests: Iterable[Request]) -> Iterator[list[Request]]:
    """The same in order, in lists that one message may hold."""
    batch: list[Request] = []
    elements = 0
    for request in requests:
        if batch and (len(batch) == MOST or elements + request.elements > LARGEST):
            yield batch
            batch, elements = [], 0
        batch.append(request)
        elements += request.elements
    if batch:
        yield batch


def _is_size(size: object) -> bool:
    return isinstance(size, list) and len(size) <= 8 and all(type(extent) is int and extent > 0 for extent in size)
