"""CrypTen's communicator between two ranks, over one of our channels: typed messages, checked; nothing is pickled.

CrypTen asks module-wide singletons for it. What stands in their places here answers for the session that the current
thread is in, so that sessions cannot mix.
"""

from __future__ import annotations

import threading
from typing import Any

import torch

from unfed.plugins import Channel, UnfedError

from .library import DistributedCommunicator
from .randomness import Generator

PATIENCE = 60.0
"""Seconds that a node waits for its peer's shares, or for the dealer's."""

here: Any = threading.local()
"""`here.communicator` and `here.dealt` are those of the session that this thread is in."""


class Communicator(DistributedCommunicator):  # type: ignore[misc]
    """What CrypTen's protocols for two ranks use; the rest is not there, and raises.

    Args:
        rank: 0 or 1.
        peer: name of the other party.
        channel: to it; None where the program is only rehearsed, and each rank takes the other's shares to be zero.
        generators: `prev` and `next`, which both ranks know, and `local`.
    """

    def __init__(self, rank: int, peer: str, channel: Channel | None, generators: dict[str, Any]) -> None:
        self.rank, self.world_size = rank, 2
        self.generators = generators
        self._peer, self._channel = peer, channel

    @classmethod
    def is_initialized(cls) -> bool:
        return getattr(here, "communicator", None) is not None

    @classmethod
    def get(cls) -> Communicator:
        found: Communicator = here.communicator
        return found

    def get_rank(self) -> int:
        return self.rank

    def get_world_size(self) -> int:
        return self.world_size

    def all_reduce(self, input: Any, op: Any = torch.distributed.ReduceOp.SUM, batched: bool = False) -> Any:
        """What both ranks hold, added or xored; one round, however many tensors."""
        tensors = list(input) if batched else [input]
        mine = torch.cat([tensor.reshape(-1) for tensor in tensors])
        theirs = self._exchange(mine)
        whole = mine ^ theirs if op == torch.distributed.ReduceOp.BXOR else mine + theirs
        pieces = torch.split(whole, [tensor.numel() for tensor in tensors])
        reduced = [piece.reshape(tensor.shape) for piece, tensor in zip(pieces, tensors, strict=True)]
        return reduced if batched else reduced[0]

    def _exchange(self, mine: torch.Tensor) -> torch.Tensor:
        if self._channel is None:
            return torch.zeros_like(mine)
        theirs = self._channel.exchange(PATIENCE, opened=mine).get("opened")
        if not is_share(theirs, mine.shape):
            raise UnfedError(f"{self._peer} sent shares that do not fit", kind="protocol", party=self._peer)
        assert isinstance(theirs, torch.Tensor)
        return theirs

    def _none(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError("CrypTen asked for what no protocol between two ranks needs")

    send = recv = isend = irecv = scatter = reduce = gather = all_gather = broadcast = barrier = _none
    send_obj = recv_obj = broadcast_obj = _none


class Generators:
    """Stands for `crypten.generators`: by name, then by device."""

    def __getitem__(self, name: str) -> dict[Any, Any]:
        return {Generator.device: here.communicator.generators[name]}


def is_share(share: object, shape: tuple[int, ...]) -> bool:
    """Whether something that came over the wire is a share of that shape."""
    return isinstance(share, torch.Tensor) and share.dtype is torch.int64 and tuple(share.shape) == tuple(shape)
