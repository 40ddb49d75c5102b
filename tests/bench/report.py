"""What a bench leaves: a JSON document, and a table for people."""

from __future__ import annotations

import datetime
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
import psutil
from bench.measure import Row

LIBRARIES = (
    "unfed-console",
    "torch",
    "transformers",
    "numba",
    "crypten",
    "uvloop",
    "msgspec",
    "grpcio",
    "textual",
    "psutil",
)

ABOUT = (
    "ours and peer are medians over the runs; ratio is the median of each run's own ratio and says how many times "
    "better (faster, smaller) ours was; contestants took turns in alternating order; max_error is the largest "
    "difference of two logits up to and including the first differing token, in mpc that of our result from float64 "
    "(the peer's stands in the notes), null where nothing is compared"
)


class Report:
    """Collects rows as they come and writes them at any moment.

    Args:
        out: the JSON file.
        parts: those that were asked for.
    """

    def __init__(self, out: Path, parts: Sequence[str]) -> None:
        self.rows: list[Row] = []
        self.failed: list[dict[str, str]] = []
        self.left_out: list[dict[str, str]] = []
        self._out = out
        self._parts = list(parts)
        self._began = _now()
        self._load = os.getloadavg()[0]

    def add(self, row: Row) -> None:
        self.rows.append(row)
        verdict = {None: "", True: ", bar met", False: ", BAR MISSED"}[row.met]
        self.say(f"  {row.name}: {figure(row.ours)} {row.unit}, ratio {row.ratio:.2f} ({row.runs} runs{verdict})")

    def fail(self, part: str, why: str) -> None:
        self.failed.append({"part": part, "error": why})
        self.say(f"  {part} failed: {why}")

    def leave_out(self, peer: str, why: str) -> None:
        """There will be no rows against `peer`, which this machine cannot run."""
        self.left_out.append({"peer": peer, "why": why})
        self.say(f"  rows against {peer} are left out: {why}")

    def say(self, line: str) -> None:
        """A line of progress."""
        print(line, file=sys.stderr, flush=True)

    def document(self, *, partial: bool) -> dict[str, Any]:
        return {
            "about": ABOUT,
            "status": "partial" if partial else "complete",
            "started": self._began,
            "finished": _now(),
            "command": sys.argv,
            "parts": self._parts,
            "machine": machine() | {"load_before": self._load},
            "versions": versions(),
            "failed": self.failed,
            "left_out": self.left_out,
            "rows": msgspec.to_builtins(self.rows),
        }

    def busy(self) -> str:
        """A warning where something else was at work when the bench began; empty otherwise."""
        cores = os.cpu_count() or 1
        if self._load < cores / 2:
            return ""
        return f"other work kept the machine busy (load {self._load:.1f} on {cores} cores before we began)"

    def write(self, *, partial: bool) -> None:
        """Replace the file as a whole, so that it is never half written."""
        self._out.parent.mkdir(parents=True, exist_ok=True)
        draft = self._out.with_name(f"{self._out.name}.{os.getpid()}.tmp")
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(self.document(partial=partial)), indent=1))
        draft.replace(self._out)


def table(
    rows: Sequence[Row],
    failed: Sequence[dict[str, str]],
    left_out: Sequence[dict[str, str]] = (),
    *,
    partial: bool,
    warning: str = "",
) -> str:
    """The rows for a terminal, and below them in a sentence how many bars were met."""
    head = ("", "against", "ours", "peer", "unit", "ratio", "runs", "max error", "bar")
    cells = [head] + [
        (
            row.name + (" (partial)" if row.partial else ""),
            row.against,
            figure(row.ours),
            figure(row.peer),
            row.unit,
            f"{row.ratio:.2f}",
            str(row.runs),
            "–" if row.max_error is None else f"{row.max_error:.1e}",
            f"{row.bar}: {'met' if row.met else 'MISSED'}" if row.bar else "–",
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    right = {2, 3, 5, 6, 7}
    lines = [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    lines.insert(1, "  ".join("─" * width for width in widths))
    lines += [f"{each['part']}: FAILED: {each['error']}" for each in failed]
    lines += [f"rows against {each['peer']} are LEFT OUT: {each['why']}" for each in left_out]
    with_bar = [row for row in rows if row.bar]
    missed = [row.name for row in with_bar if not row.met]
    lines.append("")
    lines.append(
        f"{len(with_bar) - len(missed)} of {len(with_bar)} bars met"
        + (f"; MISSED: {', '.join(missed)}" if missed else "")
    )
    if partial:
        lines.append("PARTIAL: the bench was interrupted")
    if warning:
        lines.append(f"NOTE: {warning}")
    return "\n".join(lines)


def figure(value: float) -> str:
    """Three significant digits, or all before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def machine() -> dict[str, Any]:
    """What the figures were taken on; `load` says what else was going on."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": list(os.getloadavg()),
    }


def versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = None
    return found


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
