"""Numbers as people read them: three significant digits, one unit, the same width for the same thing."""

from __future__ import annotations

import datetime
import math

NOTHING = "–"
"""Stands where there is no number."""


def _three(value: float) -> str:
    """Three significant digits, of a value between 1 and 1000."""
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def seconds(value: float | None) -> str:
    """A duration: `820 µs`, `74.1 ms`, `1.24 s`, `2 min 04 s`."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value <= 0:
        return "0 s"
    if value < 0.9995e-3:
        return f"{value * 1e6:.0f} µs"
    if value < 0.9995:
        return f"{_three(value * 1e3)} ms"
    if value < 59.95:
        return f"{_three(value)} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s"


def time_of_day(at: str) -> str:
    """Of a moment in ISO 8601, on this computer's clock: `14:03:22`."""
    return f"{datetime.datetime.fromisoformat(at).astimezone():%H:%M:%S}"


def milliseconds(value: float) -> str:
    """A latency in milliseconds, for places that name the unit once: `0.12`, `2.5`, `20`."""
    value *= 1e3
    return f"{value:.2f}" if value < 0.995 else f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def size(count: float | None) -> str:
    """Bytes in decimal units: `840 B`, `12.4 kB`, `1.05 MB`."""
    if count is None:
        return NOTHING
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.0f} B" if unit == "B" else f"{_three(max(1.0, value))} {unit}"
        value /= 1000
    return f"{_three(value) if value < 1000 else f'{value:,.0f}'} TB"


def count(value: float | None) -> str:
    """A whole number with separators: `12,408`."""
    return NOTHING if value is None else f"{value:,.0f}"


def percent(share: float | None) -> str:
    """A share of one: `33%`, `0.4%`, never 100% when it is not."""
    if share is None:
        return NOTHING
    value = 100 * share
    if 0 < value < 0.95:
        return f"{value:.1f}%"
    if 99 < value < 100:
        return f"{math.floor(value * 10) / 10:.1f}%"
    return f"{value:.0f}%"


def error(value: float | None) -> str:
    """A deviation, where zero is a statement: `0`, `2.1e-09`, `0.012`, `3.40`."""
    if value is None:
        return NOTHING
    if value == 0:
        return "0"
    if abs(value) < 1e-3:
        return f"{value:.1e}"
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"


def parties(many: int) -> str:
    """`1 party`, `6 parties`."""
    return f"{many} party" if many == 1 else f"{many} parties"
