"""What tests have puppets do: coroutines that run inside a party, with its real context."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import ctypes
import hashlib
import os
import random
import signal
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from unfed.console.party import frames
from unfed.console.party.control import Happened
from unfed.console.party.frames import Header
from unfed.console.party.wire import current_query
from unfed.plugins import Answer, Failed, Failure, Finished, Note, Token, UnfedError
from unfed.plugins.signatures import is_signed

FDS = Path("/proc/self/fd")

# -- calls and messages


async def nothing(role: Any) -> None:
    pass


async def calls(role: Any, peer: str, count: int, pause: float = 0.0) -> list[int]:
    """Call all at once; what came back, in the order of the calls."""

    async def one(number: int) -> int:
        return int((await role.ctx.call(peer, "echo", value=number))["value"])

    return list(await asyncio.gather(*(one(number) for number in range(count))))


async def tells(role: Any, peer: str, count: int, key: str, wait: bool = False) -> None:
    """So many messages; with `wait`, until they have been taken, for what comes after the query is dropped."""
    for number in range(count):
        await role.ctx.send(peer, "note", key=key, value=number)
    if wait:
        await role.ctx.call(peer, "echo", value=None)


async def kept(role: Any, key: str) -> list[Any]:
    return [[sender, value] for sender, value in role.kept.get(key, [])]


async def forgotten(role: Any) -> list[str]:
    return list(role.forgotten)


async def large(role: Any, peer: str, megabytes: int) -> dict[str, Any]:
    """Have a large tensor echoed, and spoil the original as soon as it is sent."""
    import torch

    original = torch.arange(megabytes << 18, dtype=torch.float32)
    want = hashlib.sha256(original.numpy().tobytes()).hexdigest()
    call = asyncio.create_task(role.ctx.call(peer, "echo", value=original))
    await asyncio.sleep(0)
    original.zero_()
    back = (await call)["value"]
    return {"same": hashlib.sha256(back.numpy().tobytes()).hexdigest() == want, "shape": list(back.shape)}


async def fail(role: Any, text: str) -> None:
    raise ValueError(text)


async def fail_for_people(role: Any, text: str) -> None:
    raise UnfedError(text, kind="bad-input", hint="try another")


async def fail_by_message(role: Any, peer: str) -> None:
    """Send what `peer` cannot keep, and wait for what never comes."""
    await role.ctx.send(peer, "act", what="acts:fail", args={"text": "hush"}, path=[])
    await asyncio.sleep(60)


async def linger(role: Any, seconds: float = 60.0) -> None:
    role.kept.setdefault("lingering", []).append(("", os.getpid()))
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        role.kept.setdefault("cancelled", []).append(("", role.ctx.query))
        raise


async def go_on(role: Any, key: str, path: list[str], peer: str) -> dict[str, Any]:
    """Have calls made along `path` to `peer`, one after another, until somebody releases `key` here; how they went."""
    here = role.events.setdefault(key, asyncio.Event())
    answered, slowest, failed = 0, 0.0, list[Any]()
    while not here.is_set():
        began = time.monotonic()
        try:
            await role.ctx.call(path[0], "act", what="acts:calls", args={"peer": peer, "count": 2}, path=path[1:])
            answered += 1
        except UnfedError as error:
            failed.append([error.failure.kind, error.failure.party])
            await asyncio.sleep(0.01)
        slowest = max(slowest, time.monotonic() - began)
    return {"answered": answered, "slowest": slowest, "failed": failed}


async def linked_since(role: Any) -> dict[str, float]:
    """When each open connection was begun."""
    return {each.peer: each._since for each in role.ctx._wire.peers.all() if each.open}


async def losses(role: Any) -> list[list[Any]]:
    """What the client was told of parties that are lost and that returned."""
    return list(role.losses)


async def fails_to_reach(role: Any, peer: str, way: str) -> dict[str, Any]:
    """How a call, message or channel to `peer` fails, and after how long."""
    began = time.monotonic()
    try:
        if way == "channel":
            (await asyncio.to_thread(role.ctx.channel, peer)).recv()
        elif way == "send":
            await role.ctx.send(peer, "note", key="k", value=1)
        else:
            await role.ctx.call(peer, "echo", value=1)
    except UnfedError as error:
        return {"kind": error.failure.kind, "party": error.failure.party, "seconds": time.monotonic() - began}
    return {}


async def blame(role: Any, kind: str, party: str) -> None:
    """Fail as one whose peer is at fault."""
    raise UnfedError("it is not my fault", kind=kind, party=party)  # type: ignore[arg-type]


async def send_and_wait(role: Any, peer: str, what: str, args: dict[str, Any], key: str) -> str:
    """Have `what` done by a message to `peer`, and wait until `key` is released here."""
    await role.ctx.send(peer, "act", what=what, args=args, path=[])
    return await wait_for(role, key)


async def wait_for(role: Any, key: str) -> str:
    """Until somebody says `release` with the same key here."""
    await role.events.setdefault(key, asyncio.Event()).wait()
    return "released"


async def release(role: Any, key: str) -> None:
    role.events.setdefault(key, asyncio.Event()).set()


async def linger_at(role: Any, peer: str, seconds: float = 60.0) -> None:
    """Wait for a peer that lingers."""
    await role.ctx.call(peer, "act", what="acts:linger", args={"seconds": seconds}, path=[])


async def speak_late(role: Any, peer: str, query: str) -> None:
    """Send and call on behalf of a query that is over, as a straggler would."""

    async def say() -> None:
        await role.ctx.send(peer, "note", key="late", value=1)

    context = contextvars.copy_context()
    context.run(current_query.set, query)
    await asyncio.get_running_loop().create_task(say(), context=context)


async def fan_out(role: Any, peers: list[str]) -> None:
    await asyncio.gather(*(role.ctx.call(peer, "echo", value=1) for peer in peers))


async def in_turn(role: Any, peers: list[str]) -> None:
    for peer in peers:
        await role.ctx.call(peer, "echo", value=1)


async def last_call(role: Any, peer: str) -> int:
    """The number of the last call over the connection with `peer`."""
    return int(_connection(role, peer)._number)


async def tell_along_and_wait(role: Any, path: list[str]) -> None:
    """A message along `path`, from party to party, whose last one sends another back the same way."""
    here = role.events["back"] = asyncio.Event()
    back = [*reversed(path[:-1]), role.ctx.name]
    await role.ctx.send(path[0], "act", what="acts:pass_on", args={"path": path[1:] + back}, path=[])
    await here.wait()


async def trail(role: Any, path: list[str], pause: float) -> None:
    """Be done, while a message still goes along `path`; each who gets it takes `pause` seconds."""
    await role.ctx.send(path[0], "act", what="acts:follow", args={"path": path[1:], "pause": pause}, path=[])


async def follow(role: Any, path: list[str], pause: float) -> None:
    await asyncio.sleep(pause)
    if path:
        await trail(role, path, pause)


async def pass_on(role: Any, path: list[str]) -> None:
    if path:
        await role.ctx.send(path[0], "act", what="acts:pass_on", args={"path": path[1:]}, path=[])
    else:
        role.events["back"].set()


# -- breaking the protocol


def _connection(role: Any, peer: str) -> Any:
    return role.ctx._wire.peers.open(peer)


async def spoil(role: Any, peer: str, data: str, wait: bool = False) -> None:
    """Write these bytes (hex) on the connection with `peer`, past all checks, in the middle of a query."""
    await role.ctx.call(peer, "echo", value=1)
    _connection(role, peer)._transport.write(bytes.fromhex(data))
    if wait:
        await asyncio.sleep(60)


async def say(role: Any, peer: str, header: list[Any], fields: dict[str, Any], wait: bool = True) -> None:
    """Send a frame of our own making (its header as an array of what comes first) in the name of the current query."""
    await role.ctx.call(peer, "echo", value=1)
    kind, number, name = header
    plain, about, data = frames.pack(fields)
    made = Header(kind, number, name, role.ctx.query, fields=plain, arrays=tuple(about))
    for piece in frames.encode(made, data):
        _connection(role, peer)._transport.write(piece)
    if wait:
        await asyncio.sleep(60)


async def echoes(role: Any, peer: str, kind: int, count: int) -> None:
    """Send echoes, or answers to some, that are well made and should not come; and take what comes of them."""
    await role.ctx.call(peer, "echo", value=1)
    connection = _connection(role, peer)
    connection.echo.take = lambda frame, sent: None
    for number in range(count):
        connection._transport.write(b"".join(frames.encode(Header(kind, (1 << 47) + number))))
    await asyncio.sleep(60)


async def say_tensor(role: Any, peer: str, header: list[Any]) -> None:
    import torch

    await say(role, peer, header, {"value": torch.zeros(1)})


async def calls_then_asks_for_another(role: Any, peer: str) -> None:
    """Have `peer` answer a call of ours, and then have it answer the same call again."""
    number = _connection(role, peer)._number + 1
    await role.ctx.call(peer, "echo", value=1)
    await role.ctx.call(peer, "act", what="acts:answer_again", args={"peer": role.ctx.name, "number": number}, path=[])
    await asyncio.sleep(60)


async def answer_again(role: Any, peer: str, number: int) -> None:
    header = Header(frames.REPLY, number, "echo", role.ctx.query, fields={"value": 2})
    for piece in frames.encode(header):
        _connection(role, peer)._transport.write(piece)


async def answered_by_another(role: Any, slow: str, liar: str) -> None:
    """Wait for `slow`; meanwhile `liar` answers in its stead, under the number of that call."""
    waiting = asyncio.ensure_future(role.ctx.call(slow, "act", what="acts:linger", args={"seconds": 60}, path=[]))
    await asyncio.sleep(0)
    number = max(_connection(role, slow)._number, _connection(role, liar)._number + 100)
    args = {"peer": role.ctx.name, "number": number}
    await role.ctx.call(liar, "act", what="acts:answer_again", args=args, path=[])
    await waiting


async def spoil_and_hang_up(role: Any, peer: str) -> None:
    await role.ctx.call(peer, "echo", value=1)
    connection = _connection(role, peer)
    connection._transport.write((1000).to_bytes(4, "little") + b"half of it")
    connection._transport.close()
    while role.ctx._wire.peers.open(peer) is connection:  # noqa: ASYNC110  (what is tested sets no event)
        await asyncio.sleep(0.001)


async def connected(role: Any) -> list[str]:
    return sorted(connection.peer for connection in role.ctx._wire.peers.all() if connection.open)


async def knocks(role: Any, target: dict[str, Any]) -> dict[str, str]:
    from unfed.console.party.knock import knock

    return await knock(role.ctx, target)


# -- processes


async def about_me(role: Any) -> dict[str, Any]:
    import numpy as np
    import torch

    return {
        "pid": os.getpid(),
        "random": random.random(),
        "numpy": float(np.random.rand()),
        "torch": torch.rand(1).item(),
        "uuid": uuid.uuid4().hex,
        "secrets": __import__("secrets").token_hex(8),
        "threads": torch.get_num_threads(),
        "omp": os.environ.get("OMP_NUM_THREADS"),
        "stdin": str(FDS.joinpath("0").readlink()),
        "sockets": sorted(each for each in _descriptors() if each.startswith("socket:")),
        "files": _descriptors(),
        "title": Path("/proc/self/cmdline").read_text().rstrip("\0"),
        "certificate": role.ctx._wire.peers.identity.certificate,
        "sigint": getattr(signal.getsignal(signal.SIGINT), "name", "handled"),
    }


def _descriptors() -> list[str]:
    """What this process has open."""
    found = []
    for each in FDS.iterdir():
        with contextlib.suppress(OSError):  # the one that lists them
            found.append(str(each.readlink()))
    return found


async def pid(role: Any) -> int:
    return os.getpid()


async def open_files(role: Any) -> int:
    return len(_descriptors())


async def mutter(role: Any, words: str) -> None:
    """Something for the log."""
    print(words, file=sys.stderr, flush=True)


async def chatter(role: Any, words: str) -> str:
    """Print, and read what is there to read, as careless libraries do."""
    print(words, flush=True)
    os.system(f"echo {words}")
    return sys.stdin.read()


async def kill_me(role: Any, number: int = signal.SIGKILL, quietly: bool = False) -> None:
    if not quietly:
        await mutter(role, "about to be killed")
    os.kill(os.getpid(), number)
    await asyncio.sleep(60)


async def leave(role: Any, status: int = 3, words: str = "I have had enough") -> None:
    print(words, file=sys.stderr, flush=True)
    os._exit(status)


async def leave_politely(role: Any, status: int = 3) -> None:
    sys.exit(status)


async def start_once(role: Any, marker: str) -> None:
    """The first process starts, later ones do not."""
    if Path(marker).exists():
        raise ValueError("not again")
    Path(marker).touch()


async def slow_unless_first(role: Any, marker: str) -> None:
    if Path(marker).exists():
        await asyncio.sleep(1.5)
    Path(marker).touch()


async def peers(role: Any) -> list[str]:
    return list(role.ctx.peers)


async def hold_the_gil(role: Any, seconds: float) -> None:
    """Nothing else in this process runs meanwhile, neither heartbeats nor the reading of orders."""
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


async def hog(role: Any, seconds: float) -> None:
    """Keep the event loop busy."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


async def misreport(role: Any, data: str) -> None:
    """Write these bytes (hex) to the launcher as they are."""
    role.ctx._telling._link._reports.put(bytes.fromhex(data))
    await asyncio.sleep(60)


async def forge(role: Any) -> str:
    """Give an answer of one's own, as if one were the client."""
    link = role.ctx._telling._link
    link.send(Happened(role.ctx.query, Token(id=1, text="forged")))
    link.send(Happened(role.ctx.query, Finished(answer=Answer(text="forged"), total=0, first_token=0, offline=0)))
    link.send(Happened(role.ctx.query, Failed(error=Failure(kind="role", message="forged"))))
    return "the true answer"


# -- news


async def tell(role: Any, **note: Any) -> None:
    """At a client: something that is no query's."""
    role.ctx.tell(Note(**note))


async def forge_news(role: Any, **note: Any) -> None:
    """At a node: the same, past all checks."""
    role.ctx._telling._link.send(Happened("", Note(**note)))


# -- the model


async def read_tensors(role: Any, names: list[str]) -> dict[str, Any]:
    found = role.ctx.model.tensors(*names)
    return {name: [list(tensor.shape), float(tensor.float().sum())] for name, tensor in found.items()}


async def read_and_weigh(role: Any, names: list[str]) -> dict[str, float]:
    """The sum of what was read, and by how many bytes this process grew by reading (pages of files included)."""
    import psutil
    import torch

    me = psutil.Process()
    torch.ones(1).sum()
    before = me.memory_info().rss
    total = sum(float(tensor.sum()) for tensor in role.ctx.model.tensors(*names).values())
    return {"sum": total, "grown": me.memory_info().rss - before}


async def hold(role: Any, name: str, value: float) -> None:
    import torch

    role.ctx.hold(name, number=value, tensor=torch.full((3,), value))


async def contribute(role: Any, peers: list[str]) -> None:
    role.ctx.contribute(layer_tokens=2)
    for peer in peers:
        await role.ctx.call(peer, "act", what="acts:contribute", args={"peers": []}, path=[])


# -- signing


async def sign(role: Any, text: str) -> str:
    """This party's signature, in hex."""
    return str(role.ctx.sign(text.encode()).hex())


async def check(role: Any, party: str, text: str, signature: str) -> bool:
    """Whether a signature is that of `party`, by the certificate that this one has of it."""
    return is_signed(role.ctx.certificate(party), text.encode(), bytes.fromhex(signature))
