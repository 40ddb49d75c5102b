"""CrypTen's trusted third party over our channels: at the nodes what they were dealt, at the dealer its server.

CrypTen asks for each triple when it needs it. Here the first rank asks for all of a step's at once, before the step:
what a step will ask for follows from its lengths alone, and is found by rehearsing it on zeros.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Sequence
from typing import Any

import torch

from unfed.plugins import Channel, UnfedError

from ..mpc.engine import ring
from .communicator import PATIENCE, here, is_share
from .library import TTPClient, TTPServer
from .randomness import Generator
from .requests import Request, arrived, batches


class Dealt(TTPClient):  # type: ignore[misc]
    """What one rank has of the dealer's: numbers that follow from a seed, and at the first rank corrections.

    Args:
        generator: from the seed that this rank shares with the dealer.
    """

    def __init__(self, generator: Any) -> None:
        self._generator = generator
        self._shares: deque[tuple[Request, torch.Tensor]] = deque()

    @staticmethod
    def get() -> Dealt:
        found: Dealt = here.dealt
        return found

    def get_generator(self, device: Any = None) -> Any:
        return self._generator

    def fetch(self, requests: Sequence[Request], dealer: str, channel: Channel) -> None:
        """Have the dealer make the corrections for `requests`, in order.

        Raises:
            UnfedError: the dealer is lost, or what it sends does not fit.
        """
        for batch in batches(requests):
            shares = channel.exchange(PATIENCE, requests=[request.parts() for request in batch]).get("shares")
            if not is_share(shares, (sum(request.elements for request in batch),)):
                raise UnfedError(f"{dealer} sent shares that do not fit", kind="protocol", party=dealer)
            assert isinstance(shares, torch.Tensor)
            pieces = torch.split(shares, [request.elements for request in batch])
            self._shares.extend(zip(batch, pieces, strict=True))

    def ttp_request(self, function: str, device: Any, *arguments: Any) -> torch.Tensor:
        """The next correction; each is used once."""
        request, share = self._shares.popleft()
        if request != Request.of(function, arguments):
            raise RuntimeError("the program asks the dealer for something else than when it was rehearsed")
        return share.reshape(request.shape)

    @property
    def left(self) -> int:
        return len(self._shares)


class Rehearsed(Dealt):
    """Notes what a program asks for, and gives zeros."""

    def __init__(self) -> None:
        super().__init__(Zeros())
        self.requests: list[Request] = []

    def ttp_request(self, function: str, device: Any, *arguments: Any) -> torch.Tensor:
        request = Request.of(function, arguments)
        self.requests.append(request)
        return torch.zeros(request.shape, dtype=torch.int64)


class Zeros:
    """Stands for a generator where a program is only rehearsed."""

    def take(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.zeros(shape, dtype=torch.int64)


class Server(TTPServer):  # type: ignore[misc]
    """CrypTen's dealer with generators of ours, one for each rank, and without its loop.

    Attributes:
        seeds: of the ranks' generators.
    """

    def __init__(self) -> None:
        self.seeds = tuple(secrets.token_bytes(ring.SEED) for _ in range(2))
        self.generators = [Generator(each) for each in self.seeds]
        self.device = "cpu"

    def serve(self, asks: str, channel: Channel) -> None:
        """Answer the first rank until its channel ends.

        Raises:
            UnfedError: the channel ended; or (`protocol`, naming who asks) a message that is no request.
        """
        while True:
            fields = channel.recv()
            try:
                requests = arrived(fields)
            except ValueError as error:
                raise UnfedError(f"{asks} sent what is no request: {error}", kind="protocol", party=asks) from None
            shares = [getattr(self, request.function)(*request.arguments()) for request in requests]
            channel.send(shares=torch.cat([share.reshape(-1) for share in shares]))
