"""The latency of a party's links, as its heartbeat tells it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from .connection import Connection
from .control import BEAT
from .frames import Frame, Header, encode
from .peers import Peers


class Echoes:
    """Asks over all links that this party dialled, and answers over the others.

    Attributes:
        round_trips: by peer, seconds of a round trip over the link with it, where this party asks and was answered.
            Replaced as a whole, for the heartbeat reads it in a thread of its own.
    """

    def __init__(self) -> None:
        self.round_trips: dict[str, float] = {}

    async def go_on(self, peers: Peers, now: Callable[[], float]) -> None:
        """Ask once a heartbeat, until cancelled; `now` is what headers bear as `sent`."""
        while True:
            there = [each for each in peers.all() if each.open]
            for connection in there:
                if not connection.full:
                    _send(connection, connection.echo.ask(now()))
            trips = {each.peer: each.echo.round_trip for each in there}
            self.round_trips = {peer: trip for peer, trip in trips.items() if trip is not None}
            await asyncio.sleep(BEAT)


def take(connection: Connection, frame: Frame, now: float) -> None:
    """An echo has come, or an answer. Raises ValueError where it should not have."""
    _send(connection, connection.echo.take(frame, now))


def _send(connection: Connection, header: Header | None) -> None:
    if header is not None:
        pieces = encode(header)
        with contextlib.suppress(ConnectionError):  # it ends, and whoever needs it is told
            connection.write(pieces, len(pieces[0]))
