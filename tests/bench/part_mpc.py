"""`mpc`: our engine against CrypTen with its trusted third party and against SPU's ABY3, on public weights.

CrypTen asks for triples as it goes, and ABY3 needs none: their whole time is held against ours, be it online alone or
with our offline part. What CrypTen would take without waiting for triples stands in the notes.
"""

from __future__ import annotations

import asyncio
import importlib.util
import statistics
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
from bench.fleets import one_launcher
from bench.measure import Bar, Rounds, Turn
from bench.mpc_fleets import Ask, engine
from bench.peers import HERE, Peer
from bench.report import Report
from bench.spu_home import python

DELAY = 0.020
"""Seconds one way on every link of the row at 40 ms."""
BUILD = HERE.parents[1] / "build"
AGAINST = {"crypten": "CrypTen, TTP", "spu": "SPU, ABY3"}
OURS = ("deal", "fetch", "expand", "compute")
"""Seconds that our parties tell of themselves."""


class Contest(msgspec.Struct, frozen=True):
    """One computation and who does it.

    Attributes:
        figure: which of our figures counts: `whole` is offline and online.
        bars: least ratio against each peer.
        notes: what a reader has to know beside the figures.
    """

    work: str
    title: str
    figure: str
    runs: int
    bars: Mapping[str, float]
    warmup: int = 2
    notes: Mapping[str, str] = {}


QUICK = (
    Contest("mlp", "MLP 784-128-10, offline + online", "whole", 24, {"crypten": 25, "spu": 6}),
    Contest("block", "transformer block d128 seq16, offline + online", "whole", 10, {"crypten": 10, "spu": 5}),
    Contest(
        "embedding",
        "private embedding, 16 tokens, 50257x768",
        "online",
        12,
        {"crypten": 7},
        notes={"peer": "one-hot rows by a public table; the owner of the tokens is rank 0, which knows them"},
    ),
)
SLOW = Contest(
    "block",
    "the block at 40 ms RTT, online",
    "online",
    3,
    {"crypten": 15},
    warmup=1,
    notes={
        "delay": "20 ms one way on every link of both: a message is used no sooner than that after it was sent, and no "
        "sender waits; gloo's all-reduce counts as one message each way, though it takes two",
    },
)


async def measure(report: Report, folder: Path) -> None:
    await _made(folder)
    async with AsyncExitStack() as stack:
        launcher = await stack.enter_async_context(one_launcher(folder))
        if importlib.util.find_spec("crypten") is None:
            report.leave_out(AGAINST["crypten"], "CrypTen is not installed")
        if (spu := await _spu(report, folder)) is not None:
            stack.push_async_callback(spu.stop)
        for contests, delay in ((QUICK, 0.0), ((SLOW,), DELAY)):
            async with AsyncExitStack() as these:
                asks: dict[str, Ask] = {}
                works = sorted({contest.work for contest in contests})
                asks["ours"] = await these.enter_async_context(engine(launcher, folder, works, delay))
                if importlib.util.find_spec("crypten") is not None:
                    crypten = await Peer.start("peer_crypten.py", str(folder), str(delay))
                    these.push_async_callback(crypten.stop)
                    asks["crypten"] = crypten.ask
                if spu is not None:
                    asks["spu"] = spu.ask
                for contest in contests:
                    await contend(report, contest, asks)


async def contend(report: Report, contest: Contest, asks: Mapping[str, Ask]) -> None:
    """Rows of one computation, against those peers that there are."""
    peers = [peer for peer in contest.bars if peer in asks]
    told: dict[str, list[dict[str, Any]]] = {name: [] for name in ("ours", *peers)}
    rounds = Rounds(*told)
    turns = {name: _turn(asks[name], contest.work, name, told[name]) for name in told}
    try:
        if peers:
            await rounds.take(turns, runs=contest.runs, warmup=contest.warmup)
    finally:
        if rounds.taken:
            for peer in peers:
                report.add(
                    rounds.row(
                        f"ours {contest.figure}",
                        f"{peer} whole",
                        name=f"mpc: {contest.title}",
                        against=AGAINST[peer],
                        unit="ms",
                        bars=[Bar("ratio", contest.bars[peer])],
                        max_error=worst(told["ours"]),
                        notes=_notes(told["ours"], told[peer]) | dict(contest.notes),
                    )
                )


def _turn(ask: Ask, work: str, name: str, told: list[dict[str, Any]]) -> Turn:
    async def turn(number: int) -> dict[str, float]:
        answer = await ask({"work": work, "number": number})
        if number >= 0:
            told.append(answer)
        return {f"{name} {figure}": 1e3 * seconds for figure, seconds in figures(answer).items()}

    return turn


def figures(answer: Mapping[str, float]) -> dict[str, float]:
    """Seconds by what they count: a peer tells of `seconds`, we of `online` and, where there is one, an `offline` part."""
    if "seconds" in answer:
        return {"whole": answer["seconds"]}
    return {"online": answer["online"], "whole": answer["online"] + answer.get("offline", 0.0)}


def worst(answers: Sequence[Mapping[str, float]]) -> float:
    return max(answer["error"] for answer in answers)


def _notes(ours: Sequence[Mapping[str, float]], peer: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Both errors side by side, and medians of what either told beside its time."""

    def middle(answers: Sequence[Mapping[str, float]], name: str) -> float:
        return statistics.median(answer[name] for answer in answers)

    notes: dict[str, Any] = {"max_error": worst(ours), "peer_max_error": worst(peer), "weights": "public"}
    for name in ("offline", "online", *OURS):
        if name in ours[0]:
            notes[f"{name}_ms"] = 1e3 * middle(ours, name)
    for name in ("rounds", "sent", "material"):
        if name in ours[0]:
            notes[name] = middle(ours, name)
    if "waiting" in peer[0]:
        notes["peer_less_waiting_for_triples_ms"] = 1e3 * statistics.median(
            answer["seconds"] - answer["waiting"] for answer in peer
        )
    return notes


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


async def _spu(report: Report, folder: Path) -> Peer | None:
    try:
        interpreter = await python(BUILD / "spu")
    except (RuntimeError, TimeoutError) as error:
        report.leave_out(AGAINST["spu"], str(error) or "its environment took too long to make")
        return None
    return await Peer.start("peer_spu.py", str(folder), python=interpreter)
