"""`console`: how soon it paints and answers `--help`, against the least that Python and Textual need."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from bench.measure import Bar, Rounds, Turn
from bench.report import Report
from bench.screen import first_paint

RUNS = 15
TERMINAL = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
CONSOLE = str(Path(sys.executable).parent / "unfed-console")
LEAST = str(Path(__file__).resolve().parent / "peer_label.py")


async def measure(report: Report, folder: Path) -> None:
    """Every start of the console has an empty state folder: what its user sees the first time."""

    def painting(name: str, *command: str) -> Turn:
        async def turn(number: int) -> float:
            fresh = {"UNFED_STATE_DIR": str(folder / f"{name}-{number}")}
            return await first_paint(command, os.environ | TERMINAL | fresh)

        return turn

    turns = {
        "paint": painting("paint", CONSOLE),
        "least": painting("least", sys.executable, LEAST),
        "import": _running(sys.executable, "-c", "import textual.app, textual.widgets"),
        "help": _running(CONSOLE, "--help"),
        "python": _running(sys.executable, "-c", "pass"),
    }
    rounds = Rounds(*turns)
    try:
        await rounds.take(turns, runs=RUNS, warmup=2)
    finally:
        if rounds.taken:
            for ours, peer, name, against, bars in (
                ("paint", "least", "console: first paint", "a Textual app of one label", [Bar("ours", 1)]),
                ("paint", "import", "console: first paint", "python -c 'import textual.app'", []),
                ("help", "python", "console: unfed-console --help", "python -c pass", [Bar("ours", 0.4)]),
                ("help", "import", "console: unfed-console --help", "python -c 'import textual.app'", []),
            ):
                report.add(rounds.row(ours, peer, name=name, against=against, unit="s", bars=bars))


def _running(*command: str) -> Turn:
    """Seconds that a command takes from start to end."""

    async def turn(number: int) -> float:
        began = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.DEVNULL, start_new_session=True
        )
        try:
            if status := await process.wait():
                raise RuntimeError(f"{' '.join(command)} ended with status {status}")
            return time.perf_counter() - began
        finally:
            if process.returncode is None:
                process.kill()

    return turn
