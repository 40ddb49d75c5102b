"""`mpc`: our engine against CrypTen with its trusted third party and against SPU's ABY3, on public and secret weights.

CrypTen asks for triples as it goes, and ABY3 needs none: their whole time is held against ours, be it online alone or
with our offline part. What CrypTen would take without waiting for triples stands in the notes.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from bench.fleets import one_launcher, running
from bench.mpc_contest import AGAINST, Contest, Told, contend
from bench.mpc_decode import Decoding
from bench.mpc_fleets import Ask, engine
from bench.part_decode import demo
from bench.peers import HERE, Peer
from bench.report import Report
from bench.spu_home import python

from unfed.backends.mpc.backend import Mpc
from unfed.console.fleet.process import LocalLauncher
from unfed.console.runner.models import read_card

DELAY = 0.020
"""Seconds one way on every link of the row at 40 ms."""
BUILD = HERE.parents[1] / "build"
_SHARED = {
    "weights": "secret for all contestants, and shared before anything is timed; ours are opened under masks once, too"
}
_SIXTEEN = {
    "offline": "material for sixteen inferences is made and sent at once, and what nodes open before there are inputs "
    "likewise; a sixteenth of that time counts",
    "input": "the client opens it itself, under masks whose seeds the nodes told it offline",
}
_MLP, _BLOCK = "MLP 784-128-10, offline + online", "transformer block d128 seq16, offline + online"
QUICK = (
    Contest(
        "mlp",
        (Told(_MLP, "whole", "crypten", 25), Told(_MLP, "whole", "spu", 6)),
        runs=12,
        trips=5,
        notes=_SIXTEEN,
    ),
    Contest(
        "block",
        (Told(_BLOCK, "whole", "crypten", 10), Told(_BLOCK, "whole", "spu", 5), Told(_BLOCK, "whole", "better")),
        runs=9,
        trips=2,
    ),
    Contest(
        "embedding",
        (Told("private embedding, 16 tokens, 50257x768, offline + online", "whole", "crypten", 7),),
        runs=9,
        trips=3,
        notes={"peer": "one-hot rows by a public table; the owner of the tokens is rank 0, which knows them"},
    ),
)
SECRET = (
    Contest(
        "mlp",
        (Told(f"{_MLP}, secret weights", "whole", "crypten", 25), Told(f"{_MLP}, secret weights", "whole", "spu", 6)),
        runs=12,
        secret=True,
        trips=5,
        notes=_SHARED | _SIXTEEN,
    ),
    Contest(
        "block",
        (
            Told(f"{_BLOCK}, secret weights", "whole", "crypten", 10),
            Told(f"{_BLOCK}, secret weights", "whole", "spu", 5),
        ),
        runs=9,
        secret=True,
        trips=2,
        notes=_SHARED,
    ),
)
DECODE = Contest(
    "decode",
    (
        Told("demo model, a decode token, online", "online", "crypten", 40),
        Told("demo model, a decode token, offline + online", "whole", "crypten", 10),
    ),
    runs=5,
    notes={"peer": "the program of the backend mpc-crypten with its shared cache, which errs less than CrypTen's own"},
)
SECRET_DECODE = Contest(
    "decode",
    (Told("demo model, a decode token, offline + online, secret weights", "whole", "crypten"),),
    runs=5,
    secret=True,
    notes={"weights": "ours are secret; the peer's are public, as in the rows above"},
)
SLOW = Contest(
    "block",
    (Told("the block at 40 ms RTT, online", "online", "crypten", 15),),
    runs=3,
    notes={
        "delay": "20 ms one way on every link of both: a message is used no sooner than that after it was sent, and no "
        "sender waits; gloo's all-reduce counts as one message each way, though it takes two"
    },
)


async def measure(report: Report, folder: Path) -> None:
    await _made(folder)
    have_crypten = importlib.util.find_spec("crypten") is not None
    if not have_crypten:
        report.leave_out(AGAINST["crypten"], "CrypTen is not installed; `make setup` installs it")
    async with AsyncExitStack() as stack:
        launcher = await stack.enter_async_context(one_launcher(folder))
        peers: dict[str, Ask] = {}
        if (spu := await _spu(report, folder)) is not None:
            stack.push_async_callback(spu.stop)
            peers["spu"] = spu.ask
        async with AsyncExitStack() as undelayed:
            crypten = await _crypten(undelayed, folder, 0.0) if have_crypten else None
            if crypten is not None:
                peers |= {"crypten": crypten.ask, "better": _better(crypten.ask)}
            works = [contest.work for contest in QUICK]
            async with engine(launcher, folder, works) as ours:
                for contest in QUICK:
                    await contend(report, contest, {"ours": ours, **peers})
            async with engine(launcher, folder, [each.work for each in SECRET], secret=True) as ours:
                for contest in SECRET:
                    await contend(report, contest, {"ours": ours, **peers})
            if crypten is not None:
                await _decode(report, launcher, folder, crypten, DECODE)
        if have_crypten:
            async with AsyncExitStack() as delayed, engine(launcher, folder, [SLOW.work], DELAY) as ours:
                await contend(report, SLOW, {"ours": ours, "crypten": (await _crypten(delayed, folder, DELAY)).ask})
            async with AsyncExitStack() as undelayed:
                await _decode(report, launcher, folder, await _crypten(undelayed, folder, 0.0), SECRET_DECODE)


async def _made(folder: Path) -> None:
    """Models, weights and inputs, by a process of its own: the bench's imports no torch."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "make_works.py"), str(folder), start_new_session=True
    )
    try:
        if status := await process.wait():
            raise RuntimeError(f"what is computed could not be made (status {status})")
    finally:
        if process.returncode is None:
            process.kill()
    await demo(folder)


async def _crypten(stack: AsyncExitStack, folder: Path, delay: float) -> Peer:
    peer = await Peer.start("peer_crypten.py", str(folder), str(delay))
    stack.push_async_callback(peer.stop)
    return peer


def _better(crypten: Ask) -> Ask:
    async def ask(question: dict[str, Any]) -> dict[str, Any]:
        return await crypten(question | {"better": True})

    return ask


async def _decode(report: Report, launcher: LocalLauncher, folder: Path, crypten: Peer, contest: Contest) -> None:
    async with AsyncExitStack() as stack:
        models = {"model": read_card(folder / "demo")}
        plan = Mpc().plan(models, Mpc.Options(weights="secret" if contest.secret else "public", pool=0))
        name = "mpc-secret" if contest.secret else "mpc"
        fleet = await stack.enter_async_context(running(launcher, folder, name, plan, models))
        exact = await Peer.start("peer_generate.py", str(folder / "demo"), "float64")
        stack.push_async_callback(exact.stop)
        decoding = Decoding(fleet, crypten, exact, folder)
        await contend(report, contest, {"ours": decoding.ours, "crypten": decoding.theirs})


async def _spu(report: Report, folder: Path) -> Peer | None:
    try:
        interpreter = await python(BUILD / "spu")
    except (RuntimeError, TimeoutError) as error:
        report.leave_out(AGAINST["spu"], str(error) or "its environment took too long to make")
        return None
    return await Peer.start("peer_spu.py", str(folder), python=interpreter)
