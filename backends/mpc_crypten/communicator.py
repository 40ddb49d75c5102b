"""CrypTen's communicator and its link to the dealer, over our channels: typed messages, checked; nothing is pickled.

CrypTen asks module-wide singletons. What stands in their places here answers for the session that the current thread
is in, so that sessions cannot mix.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import torch

from unfed.plugins import Channel, UnfedError

from .library import DistributedCommunicator, TTPClient
from .randomness import Generator
from .requests import Request, result_shape

PATIENCE = 60.0
"""Seconds that a node waits for its peer's share, or for the dealer's."""

here: Any = threading.local()
"""`here.communicator` and `here.dealt` belong to the session that this thread is in."""


class Communicator(DistributedCommunicator):  # type: ignore[misc]
    """Two ranks over one channel. What CrypTen's protocols for two do not use is not there, and raises.

    Args:
        rank: 0 or 1.
        peer: name of the other party.
        seeds: of the generators `prev`, `next`, `local` and `global`.
    """

    def __init__(self, rank: int, peer: str, channel: Channel, generators: dict[str, Generator]) -> None:
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
        theirs = self._channel.exchange(PATIENCE, opened=mine).get("opened")
        if not fits(theirs, mine.shape):
            raise UnfedError(f"{self._peer} sent shares that do not fit", kind="protocol", party=self._peer)
        assert isinstance(theirs, torch.Tensor)
        return theirs

    def _none(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError("CrypTen asked for what no protocol between two ranks needs")

    send = recv = isend = irecv = scatter = reduce = gather = all_gather = broadcast = barrier = _none
    send_obj = recv_obj = broadcast_obj = _none


class Dealt(TTPClient):  # type: ignore[misc]
    """A rank's line to the dealer: a seed that both know, and the first rank's corrections.

    Args:
        channel: to the dealer; None at the second rank, whose shares all follow from its seed.
    Attributes:
        waited: seconds spent waiting for the dealer.
    """

    def __init__(self, dealer: str, generator: Generator, channel: Channel | None) -> None:
        self.waited = 0.0
        self._dealer, self._generator, self._channel = dealer, generator, channel

    @staticmethod
    def get() -> Dealt:
        found: Dealt = here.dealt
        return found

    def get_generator(self, device: Any = None) -> Generator:
        return self._generator

    def ttp_request(self, function: str, device: Any, *arguments: Any, **named: Any) -> torch.Tensor:
        """The first rank's share of what the function of the dealer's gives."""
        assert self._channel is not None and not named
        request = Request.of(function, arguments)
        began = time.perf_counter()
        share = self._channel.exchange(PATIENCE, **request.fields()).get("share")
        self.waited += time.perf_counter() - began
        if not fits(share, result_shape(request)):
            raise UnfedError("the dealer sent a share that does not fit", kind="protocol", party=self._dealer)
        assert isinstance(share, torch.Tensor)
        return share


def fits(share: object, shape: Any) -> bool:
    """Whether something that came over the wire is a share of that shape."""
    return isinstance(share, torch.Tensor) and share.dtype is torch.int64 and share.shape == torch.Size(shape)
