"""TLS on the event loop: real handshakes and sockets, both ends in one loop."""

from __future__ import annotations

import asyncio
import secrets
import select
import socket
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from real_fleets import until

from unfed.console.party.identity import Identity
from unfed.console.party.transport import Transport, shake_hands


class End(asyncio.BufferedProtocol):
    """Keeps what arrives and what it is told."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.got = bytearray()
        self.told: list[str] = []
        self._buffer = bytearray(40_000)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.got += self._buffer[:nbytes]

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, error: Exception | None) -> None:
        self.told.append("lost")


Pair = tuple[Transport, End, Transport, End]


@pytest_asyncio.fixture
async def pair() -> AsyncIterator[Pair]:
    a, b = Identity("a"), Identity("b")
    a.pin({"b": b.certificate})
    b.pin({"a": a.certificate})
    raws = _connected()
    dialled, accepted = await asyncio.gather(
        shake_hands(a.client, raws[0], accepted=False, patience=5),
        shake_hands(b.server, raws[1], accepted=True, patience=5),
    )
    assert (a.peer_of(dialled), b.peer_of(accepted)) == ("b", "a")
    ends = End("a"), End("b")
    transports = Transport(dialled, ends[0]), Transport(accepted, ends[1])
    yield transports[0], ends[0], transports[1], ends[1]
    for transport in transports:
        transport.abort()


def _connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    for each in (ours, theirs):
        each.setblocking(False)
    return ours, theirs


async def test_everything_arrives_in_order_both_ways_at_once(pair: Pair) -> None:
    sizes = [1, 100, (16 << 10) - 1, 16 << 10, (16 << 10) + 1, 40_000, 3 << 20, 7] * 2
    said = {end.name: [secrets.token_bytes(size) for size in sizes] for end in (pair[1], pair[3])}
    for one, other in zip(said["a"], said["b"], strict=True):
        pair[0].write(one)
        pair[2].write(memoryview(other))
    await until(lambda: len(pair[1].got) == len(pair[3].got) == sum(sizes))
    assert pair[3].got == b"".join(said["a"])
    assert pair[1].got == b"".join(said["b"])
    await until(lambda: pair[1].told == pair[3].told == ["pause", "resume"])


async def test_what_is_written_is_sent_before_the_loop_comes_round(pair: Pair) -> None:
    """A role that sends and computes on in the same step must not hold up the peer that waits."""
    pair[0].write(b"go on")
    ready, _, _ = select.select([pair[2].socket], [], [], 1)  # blocks the loop on purpose
    assert ready


async def test_the_writer_may_reuse_its_memory_though_the_peer_is_behind(pair: Pair) -> None:
    memory = bytearray(b"x" * (8 << 20))
    pair[0].write(memoryview(memory))
    memory[:] = bytes(len(memory))
    await until(lambda: len(pair[3].got) == len(memory))
    assert pair[3].got.count(b"x") == len(memory)


async def test_closing_sends_what_waits_and_aborting_does_not(pair: Pair) -> None:
    pair[0].write(b"x" * (8 << 20))
    pair[0].close()
    pair[0].write(b"too late")
    assert pair[0].is_closing() and "lost" not in pair[1].told
    await until(lambda: pair[1].told[-1:] == pair[3].told == ["lost"])
    assert len(pair[3].got) == 8 << 20


async def test_an_aborted_connection_is_lost_once_and_later(pair: Pair) -> None:
    pair[0].write(b"x" * (8 << 20))
    pair[0].abort()
    pair[0].abort()
    pair[0].close()
    pair[0].write(b"to nobody")
    assert "lost" not in pair[1].told, "a protocol may abort in the middle of its own work"
    await until(lambda: "lost" in pair[1].told and "lost" in pair[3].told)
    assert pair[1].told.count("lost") == pair[3].told.count("lost") == 1
    assert len(pair[3].got) < 8 << 20


async def test_bytes_that_are_not_tls_end_the_connection(pair: Pair) -> None:
    socket.socket.send(pair[2].socket, b"in the clear" * 100)
    await until(lambda: pair[1].told == ["lost"])
    assert pair[1].got == b""


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_handshake_that_does_not_come_about_is_given_up_in_time(accepted: bool) -> None:
    identity = Identity("a")
    identity.pin({"b": Identity("b").certificate})
    ours, theirs = _connected()
    context = identity.server if accepted else identity.client
    began = time.monotonic()
    with pytest.raises(OSError, match=r"more than 0\.2 s"):
        await shake_hands(context, ours, accepted=accepted, patience=0.2)
    assert 0.2 <= time.monotonic() - began < 2
    theirs.setblocking(True)
    theirs.settimeout(2)
    while theirs.recv(4096):  # the greeting of the one who dials, then the end
        pass
    theirs.close()
