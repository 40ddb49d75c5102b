"""One query's session of CrypTen at a node or at the dealer: channels, fresh seeds, and what they replace."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from unfed.plugins import Channel, UnfedError

from ..mpc.engine import ring
from . import randomness
from .communicator import PATIENCE, Communicator, Dealt, here
from .library import TTPServer, arithmetic, binary, cfg, communicators, crypten, rng, ttp
from .randomness import Generator
from .requests import Request


def install() -> None:
    """Put our communicator, dealer and generators in the places where CrypTen looks for its own, once a process."""
    cfg.mpc.provider = "TTP"
    communicators.DistributedCommunicator = Communicator
    ttp.TTPClient = Dealt
    crypten.generators = _Generators()
    for module in (rng, arithmetic, binary, ttp):
        for name, ours in (
            ("generate_random_ring_element", randomness.ring_element),
            ("generate_kbit_random_tensor", randomness.kbit),
        ):
            if hasattr(module, name):
                setattr(module, name, ours)


class _Generators:
    """`crypten.generators`: by name, then by device."""

    def __getitem__(self, name: str) -> dict[Any, Generator]:
        generator = here.communicator.generators[name]
        return {generator.device: generator}


class Session:
    """A node's side of one query.

    Args:
        rank: 0 or 1.
        peer, dealer: names of the other parties.
        to_peer, to_dealer: open channels, which the session takes over.
    Raises:
        UnfedError: a party that sent no seed.
    """

    def __init__(self, rank: int, peer: str, dealer: str, to_peer: Channel, to_dealer: Channel) -> None:
        self._channels = to_peer, to_dealer
        mine = secrets.token_bytes(ring.SEED)
        theirs = seed(to_peer.exchange(PATIENCE, seed=mine), peer)
        generators = {
            "next": Generator(mine),
            "prev": Generator(theirs),
            "local": Generator.fresh(),
        }
        self._communicator = Communicator(rank, peer, to_peer, generators)
        shared = Generator(seed(to_dealer.recv(PATIENCE), dealer))
        self.dealt = Dealt(dealer, shared, to_dealer if rank == 0 else None)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Within, CrypTen computes in this session, in this thread."""
        here.communicator, here.dealt = self._communicator, self.dealt
        try:
            yield
        finally:
            here.communicator = here.dealt = None

    def close(self) -> None:
        """End it; a thread that waits in it is woken with an error."""
        for channel in self._channels:
            channel.close()


class Server(TTPServer):  # type: ignore[misc]
    """CrypTen's dealer, with generators of ours and without its loop."""

    def __init__(self) -> None:
        self.seeds = tuple(secrets.token_bytes(ring.SEED) for _ in range(2))
        self.generators = [Generator(each) for each in self.seeds]
        self.device = "cpu"

    def serve(self, asks: str, channel: Channel) -> None:
        """Answer the first rank until its channel ends.

        Raises:
            UnfedError: (`protocol`, naming who asks) a message that is no request.
        """
        while True:
            fields = channel.recv()
            try:
                request = Request.arrived(fields)
            except ValueError as error:
                raise UnfedError(f"{asks} sent what is no request: {error}", kind="protocol", party=asks) from None
            channel.send(share=getattr(self, request.function)(*request.arguments()).contiguous())


def seed(fields: dict[str, Any], sender: str) -> bytes:
    """The seed that a message holds. Raises UnfedError (`protocol`) where it holds none."""
    found = fields.get("seed")
    if not isinstance(found, bytes) or len(found) != ring.SEED or len(fields) != 1:
        raise UnfedError(f"{sender} sent what is no seed", kind="protocol", party=sender)
    return found
