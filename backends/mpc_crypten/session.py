"""One query's session of CrypTen at a node: channels, fresh seeds, and what they replace in CrypTen."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from unfed.plugins import Channel, UnfedError

from ..mpc.engine import ring
from . import randomness
from .communicator import PATIENCE, Communicator, Generators, here
from .dealing import Dealt
from .library import OmegaConf, arithmetic, binary, cfg, communicators, crypten, rng, ttp
from .randomness import Generator
from .requests import Request


def install() -> None:
    """Put our communicator, dealer and generators in the places where CrypTen looks for its own."""
    if ttp.TTPClient is Dealt:
        return
    cfg.set_config(_plain(OmegaConf.to_container(cfg.config)))  # half of CrypTen's time went into looking settings up
    cfg.mpc.provider = "TTP"
    communicators.DistributedCommunicator = Communicator
    crypten.generators = Generators()
    ttp.TTPClient = Dealt
    for module in (rng, arithmetic, ttp):
        module.generate_random_ring_element = randomness.ring_element
    for module in (rng, binary, ttp):
        module.generate_kbit_random_tensor = randomness.kbit


def _plain(settings: Any) -> Any:
    """Nested settings as plain attributes."""
    return SimpleNamespace(**{k: _plain(v) for k, v in settings.items()}) if isinstance(settings, dict) else settings


@contextmanager
def entered(communicator: Communicator, dealt: Dealt) -> Iterator[None]:
    """Within, CrypTen computes with these, in this thread."""
    here.communicator, here.dealt = communicator, dealt
    try:
        yield
    finally:
        here.communicator = here.dealt = None


class Session:
    """A node's side of one query.

    Args:
        rank: 0 or 1.
        peer, dealer: names of the other parties.
        dealt: the seed that the dealer gave this rank.
        to_peer: an open channel, as is `to_dealer`, which the first rank alone has.
    Raises:
        UnfedError: another party is lost, or gave no seed.
    """

    def __init__(
        self, rank: int, peer: str, dealer: str, dealt: object, to_peer: Channel, to_dealer: Channel | None
    ) -> None:
        self._dealer, self._to_dealer = dealer, to_dealer
        self._dealt = Dealt(Generator(seed(dealt, dealer)))
        mine = secrets.token_bytes(ring.SEED)
        theirs = seed(to_peer.exchange(PATIENCE, seed=mine).get("seed"), peer)
        generators = {"next": Generator(mine), "prev": Generator(theirs), "local": Generator.fresh()}
        self._communicator = Communicator(rank, peer, to_peer, generators)

    def prepare(self, requests: Sequence[Request]) -> None:
        """At the first rank: have the dealer make what a program will ask for."""
        assert self._to_dealer is not None
        self._dealt.fetch(requests, self._dealer, self._to_dealer)

    def run(self, program: Callable[[], Any]) -> Any:
        """The program's result, computed with the other rank."""
        with entered(self._communicator, self._dealt):
            result = program()
        if self._dealt.left:
            raise RuntimeError("the program asked the dealer for less than when it was rehearsed")
        return result


def seed(found: object, sender: str) -> bytes:
    """The seed that somebody sent. Raises UnfedError (`protocol`) where it is none."""
    if not isinstance(found, bytes) or len(found) != ring.SEED:
        raise UnfedError(f"{sender} sent what is no seed", kind="protocol", party=sender)
    return found
