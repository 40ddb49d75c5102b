"""What a dealer sends to the two nodes, and how they read it: seeds, what both hold, and what the second one holds."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch

from unfed.plugins import UnfedError

from . import ring

Buffer = bytes | memoryview


class Deal:
    """The dealer's side of a program's material. The first node's part follows from a seed but for what is common.

    Attributes:
        seeds: one for each node, to be sent with its part.
    """

    def __init__(self) -> None:
        self.seeds = secrets.token_bytes(ring.SEED), secrets.token_bytes(ring.SEED)
        self._streams = ring.Stream(self.seeds[0]), ring.Stream(self.seeds[1])
        self._owner: InputOwner | None = None
        self._common: list[memoryview] = []
        self._second: list[memoryview] = []

    def mask(self, *shape: int) -> torch.Tensor:
        """A fresh mask of which each node's seed gives its share."""
        return self._streams[0].take(*shape) + self._streams[1].take(*shape)

    def told(self, *shape: int) -> torch.Tensor:
        """A fresh mask of what is given, whose owner is told the seeds that both nodes' shares follow from."""
        if self._owner is None:
            self._owner = InputOwner([bytes(stream.bytes(ring.SEED)) for stream in self._streams])
        return self._owner.mask(*shape)

    def share(self, value: torch.Tensor) -> None:
        """Share `value`: the first node's share follows from its seed, the second one's is sent."""
        other = value - self._streams[0].take(*value.shape)
        self._second.append(_bytes(other.contiguous().numpy()))

    def roots(self, count: int) -> tuple[Any, Any]:
        """First seeds of function keys, one for each node."""
        return self._streams[0].roots(count), self._streams[1].roots(count)

    def common(self, *arrays: Any) -> None:
        """What both nodes are to hold."""
        self._common += [_bytes(np.ascontiguousarray(array)) for array in arrays]

    def parts(self) -> tuple[tuple[bytes, bytes, bytes], tuple[bytes, bytes, bytes]]:
        """For each node: its seed, what both hold, and what it alone holds (nothing at the first)."""
        common = b"".join(self._common)
        return (self.seeds[0], common, b""), (self.seeds[1], common, b"".join(self._second))


class Draw:
    """A node's side of a program's material, read in the order in which it was dealt. It keeps what can be written.

    Attributes:
        seed: what the owner of inputs that are `given` is to be told; empty where there is none.
    """

    def __init__(self, party: int, seed: bytes, common: Buffer, own: Buffer) -> None:
        self.party = party
        self.seed = b""
        self._stream = ring.Stream(seed)
        self._told: ring.Stream | None = None
        self._common, self._own = _Reader(common), _Reader(own)

    def mask(self, *shape: int) -> torch.Tensor:
        return self._stream.take(*shape)

    def told(self, *shape: int) -> torch.Tensor:
        if self._told is None:
            self.seed = bytes(self._stream.bytes(ring.SEED))
            self._told = ring.Stream(self.seed)
        return self._told.take(*shape)

    def share(self, *shape: int) -> torch.Tensor:
        if self.party == 0:
            return self._stream.take(*shape)
        return torch.from_numpy(self._own.take(np.int64, shape))

    def roots(self, count: int) -> Any:
        return self._stream.roots(count)

    def common(self, kind: Any, *shape: int) -> Any:
        return self._common.take(kind, shape)

    def finish(self) -> None:
        """Raises UnfedError (`protocol`) where there is more material than the program takes."""
        self._common.finish()
        self._own.finish()


class _Reader:
    def __init__(self, data: Buffer) -> None:
        view = memoryview(data)
        self._data, self._at = memoryview(bytearray(view)) if view.readonly else view, 0

    def take(self, kind: Any, shape: tuple[int, ...]) -> Any:
        size = prod(shape) * np.dtype(kind).itemsize
        if self._at + size > len(self._data):
            raise _misfit(f"it ends {self._at + size - len(self._data)} bytes early")
        found = np.ndarray(shape, kind, self._data, self._at)
        self._at += size
        return found

    def finish(self) -> None:
        if self._at != len(self._data):
            raise _misfit(f"{len(self._data) - self._at} bytes of it are left over")


class InputOwner:
    """The owner's side of `Run.given`.

    Args:
        seeds: what both nodes told it (`Draw.seed`) of what was dealt at once.
    """

    def __init__(self, seeds: Sequence[bytes]) -> None:
        self._streams = [ring.Stream(seed) for seed in seeds]

    def mask(self, *shape: int) -> torch.Tensor:
        """What it adds to the next input before it tells both nodes: inputs come in the order of the program."""
        first, second = self._streams
        return first.take(*shape) + second.take(*shape)


def _bytes(array: Any) -> memoryview:
    return array.data.cast("B") if array.size else memoryview(b"")


def _misfit(why: str) -> UnfedError:
    return UnfedError(f"the dealer's material does not fit the program: {why}", kind="protocol", party="dealer")
