"""`fleet`: how soon ten nodes are ready and what each weighs, against as many cold processes that import the same."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import psutil
from bench.fleets import one_launcher
from bench.measure import Bar, Rounds
from bench.report import Report

from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.console.party.control import BEAT
from unfed.plugins import Claim, Link, Party, Plan

NODES = 10
RUNS = 5
COLD = Path(__file__).resolve().parent / "peer_cold.py"


async def measure(report: Report, folder: Path) -> None:
    rounds = Rounds("fleet", "cold")
    async with one_launcher(folder) as launcher:

        async def fleet(number: int) -> dict[str, float]:
            _, one = await _fleet(launcher, folder, 1)
            seconds, all_ = await _fleet(launcher, folder, NODES)
            return {"fleet": seconds, "fleet weight": (all_ - one) / (NODES - 1)}

        async def cold(number: int) -> dict[str, float]:
            seconds, one, all_ = await _cold()
            return {"cold": seconds, "cold weight": (all_ - one) / (NODES - 1)}

        try:
            await rounds.take({"fleet": fleet, "cold": cold}, runs=RUNS)
        finally:
            if rounds.taken:
                rows = (
                    (f"{NODES} nodes and a client ready", f"{NODES} cold `import torch, transformers`", "s", "", 1),
                    ("PSS of one more idle node", "one more cold process", "MB", " weight", 40),
                )
                for name, against, unit, suffix, limit in rows:
                    report.add(
                        rounds.row(
                            f"fleet{suffix}",
                            f"cold{suffix}",
                            name=f"fleet: {name}",
                            against=against,
                            unit=unit,
                            bars=[Bar("ours", limit)],
                        )
                    )


async def _fleet(launcher: LocalLauncher, folder: Path, nodes: int) -> tuple[float, float]:
    """Seconds until a client and so many nodes were ready, and what all processes weigh then."""
    names = tuple(f"node-{index}" for index in range(nodes))
    plan = Plan(
        parties=(Party("client", "bench.idle_roles:Asker"), *(Party(name, "bench.idle_roles:Idler") for name in names)),
        links=tuple(Link("client", name) for name in names),
        guarantee=(Claim(asset="prompt", property="confidentiality", against=names, basis="none"),),
    )
    fleet = Fleet(f"idle-{nodes}", "idle", plan, {}, launcher=launcher, logs=folder / "logs")
    await fleet.start()
    try:
        await asyncio.sleep(2 * BEAT)
        return fleet.setup_seconds, _weight()
    finally:
        await fleet.stop()


async def _cold() -> tuple[float, float, float]:
    """Seconds until as many processes have imported what nodes import, what one weighs, and what all weigh."""
    processes: list[asyncio.subprocess.Process] = []
    began = time.perf_counter()
    try:
        for _ in range(NODES):
            processes.append(
                await asyncio.create_subprocess_exec(
                    sys.executable,
                    str(COLD),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    start_new_session=True,
                )
            )
        if not all(await asyncio.gather(*(each.stdout.readline() for each in processes if each.stdout))):
            raise RuntimeError(f"{COLD.name} ended before it had imported everything")
        seconds = time.perf_counter() - began
        all_ = _weight()
        await _end(processes[1:])
        return seconds, _weight(), all_
    finally:
        await _end(processes)


async def _end(processes: list[asyncio.subprocess.Process]) -> None:
    for process in processes:
        if process.returncode is None:
            process.kill()
    await asyncio.gather(*(process.wait() for process in processes))


def _weight() -> float:
    """PSS in MB of all that this process started, the fork server included: pages that several share count once."""
    return float(sum(each.memory_full_info().pss for each in psutil.Process().children(recursive=True))) / 1e6
