"""`python tests/bench/run.py [--only PART] [--out FILE]`: measures, prints a table and writes a JSON document.

Progress goes to stderr, the table to stdout. A bar that is missed changes no exit code, since this measures and does
not test: 0 all parts ran, 1 a part failed, 2 usage, 130 interrupted (what was measured by then is written).
"""

from __future__ import annotations

import argparse
import asyncio
import difflib
import importlib
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(TESTS)  # where this folder is the package `bench`, for us as for the parties we start

from bench.report import Report, table  # noqa: E402

PARTS = {
    "wire": "round trips between two parties, against gRPC",
    "decode": "tokens per second of plain and split, against generate",
    "unfed": "tokens per second of unfed, against split and against itself without sealing its cells",
    "mpc": "our MPC engine, against CrypTen and SPU",
    "fleet": "how soon ten nodes are ready and what they weigh, against cold processes",
    "console": "first paint and --help, against bare Python",
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="PART", help=f"one of {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"), metavar="FILE")
    asked = parser.parse_args(arguments)
    if asked.only is not None and asked.only not in PARTS:
        print(f"bench: there is no part {asked.only!r}; {nearest(asked.only)}", file=sys.stderr)
        return 2
    report = Report(asked.out, [asked.only] if asked.only else list(PARTS))
    try:
        report.write(partial=True)
    except OSError as error:
        print(f"bench: cannot write {asked.out}: {error.strerror}", file=sys.stderr)
        return 2
    return conduct(report, [asked.only] if asked.only else list(PARTS))


def conduct(report: Report, parts: Sequence[str]) -> int:
    """Run the parts one after the other; one that fails leaves the others alone."""
    partial = False
    # Parties and peers inherit these: each computes with one thread, and finds the bench's roles.
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory(prefix="unfed-bench-") as folder:
        os.environ["UNFED_STATE_DIR"] = str(Path(folder) / "state")
        for part in parts:
            report.say(f"{part}: {PARTS[part]}")
            try:
                asyncio.run(_one(part, report, Path(folder) / part))
            except (KeyboardInterrupt, asyncio.CancelledError):
                partial = True
                break
            except Exception as error:
                traceback.print_exc()
                report.fail(part, f"{type(error).__name__}: {error}")
            report.write(partial=True)
    report.write(partial=partial)
    print(table(report.rows, report.failed, report.left_out, partial=partial, warning=report.busy()), flush=True)
    return 130 if partial else 1 if report.failed else 0


async def _one(part: str, report: Report, folder: Path) -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    folder.mkdir()
    await importlib.import_module(f"bench.part_{part}").measure(report, folder)


def nearest(word: str) -> str:
    """A hint that names the closest part, or all of them."""
    close = difflib.get_close_matches(word, PARTS, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(PARTS)}"


if __name__ == "__main__":
    sys.exit(main())
