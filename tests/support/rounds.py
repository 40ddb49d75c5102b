"""What tests have puppets do over channels. The one who is told tells its peer, and then both go on in threads."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import torch

from unfed.console.party import frames
from unfed.console.party.frames import CALL, OPEN, ROUND, Header
from unfed.plugins import UnfedError


async def together(role: Any, peer: str, theirs: str, their_args: dict[str, Any], ours: Any) -> Any:
    """Have `theirs` performed at the peer while `ours`, blocking, runs in a thread here; both results."""
    call = role.ctx.call(peer, "act", what=theirs, args=their_args, path=[])
    return await asyncio.gather(asyncio.to_thread(ours), call)


def _tensor(size: int, seed: int) -> torch.Tensor:
    return torch.full((size,), seed % 251, dtype=torch.uint8)


def _checked(message: dict[str, Any], seed: int) -> int:
    data = message["data"]
    assert message["seed"] == seed and bool((data == seed % 251).all())
    return int(data.numel())


async def both(role: Any, peer: str, sizes: list[int], way: str = "exchange", purpose: str = "rounds") -> list[int]:
    """Messages of these sizes both ways at once; how large those were that came."""
    args = {"peer": role.ctx.name, "sizes": sizes, "way": way, "purpose": purpose}
    mine, theirs = await together(role, peer, "rounds:other", args, lambda: _rounds(role, peer, sizes, way, purpose))
    assert mine == theirs["did"]
    return list(mine)


async def other(role: Any, peer: str, sizes: list[int], way: str, purpose: str) -> list[int]:
    return await asyncio.to_thread(_rounds, role, peer, sizes, way, purpose)


def _rounds(role: Any, peer: str, sizes: list[int], way: str, purpose: str) -> list[int]:
    channel = role.ctx.channel(peer, purpose)
    assert channel.query == role.ctx.query
    came = []
    for seed, size in enumerate(sizes):
        if way == "exchange":
            came.append(_checked(channel.exchange(data=_tensor(size, seed), seed=seed), seed))
        else:
            channel.send(data=_tensor(size, seed), seed=seed)
            came.append(_checked(channel.recv(timeout=20), seed))
    channel.close()
    return came


def _failing(work: Any) -> dict[str, Any]:
    """How `work` fails, and after how long."""
    began = time.monotonic()
    try:
        work()
    except UnfedError as error:
        failure = error.failure
        return {
            "kind": failure.kind,
            "party": failure.party,
            "message": failure.message,
            "seconds": time.monotonic() - began,
        }
    raise AssertionError("it did not fail")


def _count_sent(channel: Any) -> list[int]:
    """Have the bytes that this channel writes added up: what a tap on its frames would count."""
    sizes: list[int] = []
    make = channel._frame

    def frame(fields: dict[str, Any]) -> bytes:
        made = make(fields)
        sizes.append(len(made))
        return bytes(made)

    channel._frame = frame
    return sizes


async def counted(role: Any, peer: str, way: str) -> dict[str, int]:
    """Four messages each way; the bytes that each side sent to the other in this query, as counted from frames."""

    def ours() -> list[int]:
        channel = role.ctx.channel(peer)
        sizes = _count_sent(channel)
        for _ in range(4):
            if way == "exchanges":
                channel.exchange(data=_tensor(100, 1))
            else:
                channel.send(data=_tensor(100, 1))
                channel.recv()
        channel.close()
        return sizes

    with _tap(role, peer) as (went, came):
        mine, theirs = await together(role, peer, "rounds:counted_there", {"peer": role.ctx.name, "way": way}, ours)
    opening = frames.encode(Header(OPEN, 0, "rounds", role.ctx.query))
    return {
        "a": sum(mine) + sum(went) + sum(len(piece) for piece in opening),
        "b": theirs["did"]["channel"] + sum(came),
    }


@contextlib.contextmanager
def _tap(role: Any, peer: str) -> Iterator[tuple[list[int], list[int]]]:
    """Sizes of the frames that this party writes to `peer` and gets from it, channels apart."""
    connection = role.ctx._wire.peers.open(peer)
    went: list[int] = []
    came: list[int] = []
    owner = connection._owner
    write, arrived = connection.write, owner.arrived

    def writing(pieces: list[Any], size: int) -> None:
        went.append(sum(memoryview(piece).nbytes for piece in pieces))
        write(pieces, size)

    def arriving(source: Any, frame: Any) -> None:
        if source is connection:
            came.append(4 + len(frame.body))
        arrived(source, frame)

    connection.write, owner.arrived = writing, arriving
    try:
        yield went, came
    finally:
        connection.write, owner.arrived = write, arrived


async def counted_there(role: Any, peer: str, way: str) -> dict[str, int]:
    def theirs() -> int:
        channel = role.ctx.channel(peer)
        sizes = _count_sent(channel)
        for _ in range(4):
            if way == "exchanges":
                channel.exchange(data=_tensor(100, 1))
            else:
                channel.recv()
                channel.send(data=_tensor(100, 1))
        with contextlib.suppress(UnfedError):
            channel.recv()  # until the other side has closed it
        return sum(sizes)

    return {"channel": await asyncio.to_thread(theirs)}


async def _with_other(role: Any, peer: str, what: str, ours: Any) -> Any:
    """`ours` in a thread with a channel to `peer`, which does `what` with its end."""

    def opened() -> Any:
        channel = role.ctx.channel(peer)
        try:
            channel.exchange()  # both have it
            return ours(channel)
        finally:
            channel.close()

    mine, _ = await together(role, peer, "rounds:at_other_end", {"peer": role.ctx.name, "what": what}, opened)
    return mine


async def at_other_end(role: Any, peer: str, what: str) -> None:
    def theirs() -> None:
        channel = role.ctx.channel(peer)
        channel.exchange()
        if what == "late":
            time.sleep(0.5)
            channel.send(value=5)
        elif what in ("until closed", "takes nothing"):
            if what == "takes nothing":
                time.sleep(1.0)
            with contextlib.suppress(UnfedError):
                while True:
                    channel.recv()
        elif what == "close":
            time.sleep(0.1)
        elif what == "die":
            channel.recv()
        channel.close()

    await asyncio.to_thread(theirs)


async def late(role: Any, peer: str) -> dict[str, Any]:
    def ours(channel: Any) -> dict[str, Any]:
        return _failing(lambda: channel.recv(timeout=0.2)) | {"then": channel.recv(timeout=5)["value"]}

    return dict(await _with_other(role, peer, "late", ours))


async def broken_off(role: Any, peer: str) -> list[dict[str, Any]]:
    def ours(channel: Any) -> list[dict[str, Any]]:
        data = _tensor(100 << 20, 0)
        return [_failing(lambda: channel.exchange(timeout=0.2, data=data)), _failing(lambda: channel.send(value=1))]

    return list(await _with_other(role, peer, "takes nothing", ours))


async def closed_by_us(role: Any, peer: str) -> dict[str, Any]:
    def ours(channel: Any) -> dict[str, Any]:
        threading.Timer(0.1, channel.close).start()
        return _failing(channel.recv)

    return dict(await _with_other(role, peer, "until closed", ours))


async def closed_by_peer(role: Any, peer: str) -> dict[str, Any]:
    return dict(await _with_other(role, peer, "close", lambda channel: _failing(channel.recv)))


async def shared(role: Any, peer: str) -> dict[str, Any]:
    def ours(channel: Any) -> dict[str, Any]:
        inside = threading.Thread(target=lambda: _failing(channel.recv))
        inside.start()
        while not channel._owned.locked():
            time.sleep(0.001)
        failed = _failing(lambda: channel.send(value=1))
        channel.close()
        inside.join(5)
        assert not inside.is_alive()
        return failed

    return dict(await _with_other(role, peer, "until closed", ours))


async def plain_open(role: Any, peer: str) -> None:
    await asyncio.to_thread(role.ctx.channel, peer)


async def never_opened(role: Any, peer: str) -> dict[str, Any]:
    from unfed.console.party import door

    door.PATIENCE = 0.3
    try:
        return await asyncio.to_thread(_failing, lambda: role.ctx.channel(peer, "never"))
    finally:
        door.PATIENCE = 10.0


async def open_and_leave(role: Any, peer: str, close: bool, say: bool = False) -> None:
    channel = await asyncio.to_thread(role.ctx.channel, peer)
    if say:
        channel.send(value=1)
    role.kept.setdefault("open", []).append(("", channel))
    if close:
        channel.close()


async def untaken(role: Any) -> int:
    """Channels that peers opened here and that nobody took."""
    return sum(map(len, role.ctx._door._arrived.values()))


async def awaits_its_fresh_namesake(role: Any, peer: str) -> dict[str, Any]:
    """Wait for a channel while the peer is replaced so quickly that whoever waits does not wake between the two."""
    door = role.ctx._door
    waiting = asyncio.create_task(asyncio.to_thread(_failing, lambda: role.ctx.channel(peer, "awaited")))

    def replaced() -> None:
        while not door._changed._waiters:
            time.sleep(0.001)
        with door._changed:
            door.gone(peer)
            door.pin({peer: msgspec.structs.replace(door._roster[peer], certificate="another's")})

    await asyncio.to_thread(replaced)
    began = time.monotonic()
    return await waiting | {"seconds": time.monotonic() - began}


async def wait_for_the_dead(role: Any, peer: str) -> None:
    loop, waiting = asyncio.get_running_loop(), role.events.setdefault("waiting", asyncio.Event())

    def ours(channel: Any) -> None:
        loop.call_soon_threadsafe(waiting.set)
        failed = _failing(channel.recv)
        print(f"woken at {time.monotonic()} by {failed['kind']} {failed['party']}", flush=True)

    await _with_other(role, peer, "die", ours)


async def deceived(role: Any, peer: str, what: str) -> dict[str, Any]:
    """The peer sends one proper message and then something else."""

    def ours() -> dict[str, Any]:
        channel = role.ctx.channel(peer)
        channel.recv()
        failed = _failing(lambda: channel.recv(timeout=5))
        again = _failing(lambda: channel.recv(timeout=5))
        assert again["message"] == failed["message"]
        channel.close()
        return failed

    mine, _ = await together(role, peer, "rounds:deceive", {"peer": role.ctx.name, "what": what}, ours)
    return dict(mine)


async def deceive(role: Any, peer: str, what: str) -> None:
    def theirs() -> None:
        channel = role.ctx.channel(peer)
        channel.send(value=1)
        made = {
            "replayed": Header(ROUND, 1, "rounds"),
            "skipped": Header(ROUND, 3, "rounds"),
            "other purpose": Header(ROUND, 2, "else"),
            "a call": Header(CALL, 2, "rounds"),
        }.get(what)
        data = b"".join(frames.encode(made)) if made else b"\4\0\0\0\0\0\0\0" + b"\xff" * 8
        if what == "garbage":
            data = b"\x08\0\0\0\4\0\0\0\xff\xff\xff\xff"
        elif what == "oversized":
            data = b"\xff" * 8
        channel._sock.setblocking(True)
        channel._sock.sendall(data)
        with contextlib.suppress(OSError):
            channel._sock.recv(1)
        channel.close()

    await asyncio.to_thread(theirs)


async def bad_opening(role: Any, peer: str, what: str) -> None:
    """Dial the peer's door with our own listed key, and say something else than what the channel is for."""
    door = role.ctx._door
    known = door._roster[peer]

    def say() -> None:
        opening = b"".join(frames.encode(Header(OPEN, 0, "rounds")))
        data = {
            "not an opening": b"".join(frames.encode(Header(CALL, 1, "echo"))),
            "too long": (5000).to_bytes(4, "little") + bytes(5000),
            "garbage": b"\x08\0\0\0\4\0\0\0\xff\xff\xff\xff",
            "half": opening[:-2],
        }[what]
        with (
            socket.create_connection((known.host, known.channel_port), timeout=5) as raw,
            door._identity.client.wrap_socket(raw) as sock,
        ):
            sock.sendall(data)
            if what == "half":
                socket.socket.shutdown(sock, socket.SHUT_WR)
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                assert sock.recv(1) == b""

    await asyncio.to_thread(say)


async def _meanwhile(role: Any, peer: str, theirs: str, their_args: dict[str, Any]) -> Any:
    """The peer at work in the background: the call that asks for it, begun."""
    task = asyncio.ensure_future(role.ctx.call(peer, "act", what=theirs, args=their_args, path=[]))
    await asyncio.sleep(0)
    return task


async def round_trips(role: Any, peer: str, way: str, size: int, count: int) -> list[float]:
    """Seconds of each of `count` round trips."""
    data = torch.zeros(size, dtype=torch.uint8)
    times = []
    if way == "call":
        for _ in range(count):
            began = time.monotonic()
            await role.ctx.call(peer, "echo", value=data)
            times.append(time.monotonic() - began)
        return times

    def ours() -> None:
        channel = role.ctx.channel(peer)
        for _ in range(count):
            began = time.monotonic()
            channel.send(data=data)
            channel.recv()
            times.append(time.monotonic() - began)
        channel.close()

    await together(role, peer, "rounds:return_all", {"peer": role.ctx.name}, ours)
    return times


async def return_all(role: Any, peer: str) -> None:
    def theirs() -> None:
        channel = role.ctx.channel(peer)
        with contextlib.suppress(UnfedError):
            while True:
                channel.send(**channel.recv())
        channel.close()

    await asyncio.to_thread(theirs)


async def volley(role: Any, peer: str, way: str, size: int, count: int, purpose: str = "volley") -> dict[str, Any]:
    """`count` messages sent at once; when the first and the last arrived, in seconds after the first was sent."""
    data = torch.zeros(size, dtype=torch.uint8)
    if way == "call":
        await role.ctx.call(peer, "act", what="rounds:clear", args={}, path=[])
        await asyncio.sleep(0.05)  # the bucket is full again
        began = time.monotonic()
        for number in range(count):
            await role.ctx.send(peer, "arrive", number=number, data=data)
        sent = time.monotonic() - began
        arrived = (await role.ctx.call(peer, "act", what="rounds:arrivals", args={"count": count}, path=[]))["did"]
    else:
        channel_args = {"peer": role.ctx.name, "count": count, "purpose": purpose}

        def ours() -> tuple[float, float]:
            channel = role.ctx.channel(peer, purpose)
            time.sleep(0.1)
            began = time.monotonic()
            for number in range(count):
                channel.send(number=number, data=data)
            sent = time.monotonic() - began
            channel.recv()
            channel.close()
            return began, sent

        (began, sent), theirs = await together(role, peer, "rounds:receive_all", channel_args, ours)
        arrived = theirs["did"]
    times = [at - began for _, at in arrived]
    return {"sent": sent, "order": [n for n, _ in arrived], "first": min(times), "last": max(times)}


async def clear(role: Any) -> None:
    role.arrived = []


async def arrivals(role: Any, count: int) -> list[Any]:
    while len(role.arrived) < count:  # noqa: ASYNC110  (the messages tell nobody)
        await asyncio.sleep(0.005)
    return list(role.arrived)


async def receive_all(role: Any, peer: str, count: int, purpose: str) -> list[Any]:
    def theirs() -> list[Any]:
        channel = role.ctx.channel(peer, purpose)
        arrived = [(channel.recv()["number"], time.monotonic()) for _ in range(count)]
        channel.send(done=True)
        with contextlib.suppress(UnfedError):
            channel.recv()
        channel.close()
        return arrived

    return await asyncio.to_thread(theirs)


async def two_ways_at_once(role: Any, peer: str, size: int) -> list[float]:
    """One message of `size` by call and one over a channel, at the same time: seconds until each had arrived."""
    data = torch.zeros(size, dtype=torch.uint8)
    await role.ctx.call(peer, "act", what="rounds:clear", args={}, path=[])
    began: list[float] = []
    loop, go = asyncio.get_running_loop(), asyncio.Event()

    def ours() -> None:
        channel = role.ctx.channel(peer, "two")
        time.sleep(0.1)
        began.append(time.monotonic())
        loop.call_soon_threadsafe(go.set)
        channel.send(number=0, data=data)
        channel.recv()
        channel.close()

    async def message() -> None:
        await go.wait()
        await role.ctx.send(peer, "arrive", number=0, data=data)

    args = {"peer": role.ctx.name, "count": 1, "purpose": "two"}
    (_, over_channel), _ = await asyncio.gather(together(role, peer, "rounds:receive_all", args, ours), message())
    by_message = (await role.ctx.call(peer, "act", what="rounds:arrivals", args={"count": 1}, path=[]))["did"]
    return [over_channel["did"][0][1] - began[0], by_message[0][1] - began[0]]


async def impatient(role: Any, peer: str) -> dict[str, Any]:
    """Wait for less than the link's delay; the message is there for the next try."""

    def ours() -> dict[str, Any]:
        channel = role.ctx.channel(peer)
        channel.send(value=1)
        time.sleep(0.025)  # the peer has it, and its answer is under way
        failed = _failing(lambda: channel.recv(timeout=0.001))
        then = channel.recv(timeout=5)["value"]
        channel.close()
        return failed | {"then": then}

    mine, _ = await together(role, peer, "rounds:return_all", {"peer": role.ctx.name}, ours)
    return dict(mine)
