"""Where the time went: setup, offline and online as one bar, each with a texture and a word of its own."""

from __future__ import annotations

from collections.abc import Sequence

from ...results.record import Seconds
from .numbers import NOTHING
from .numbers import seconds as number
from .text import Line, Span, Tone, length

KINDS: tuple[tuple[str, str, Tone], ...] = (("setup", "░", "dim"), ("offline", "▒", "fair"), ("online", "█", "accent"))
"""Kind, texture and tone, in the order they happen."""


def cells(parts: Sequence[float], width: int) -> list[int]:
    """`parts` as whole cells that sum to `width`: in proportion, and at least one for anything above zero.

    Zero everywhere gives zero everywhere.
    """
    total = sum(parts)
    if total <= 0 or width <= 0:
        return [0] * len(parts)
    exact = [part * width / total for part in parts]
    out = [max(1, int(value)) if part > 0 else 0 for part, value in zip(parts, exact, strict=True)]
    while sum(out) < width:  # the largest remainders round up
        out[max((i for i, part in enumerate(parts) if part > 0), key=lambda i: exact[i] - out[i])] += 1
    while sum(out) > width and max(out) > 1:  # what the smallest gained, the largest gives
        out[max(range(len(out)), key=lambda i: out[i])] -= 1
    return out


def bar(parts: Sequence[float], width: int) -> Line:
    """The bar; an empty track where nothing has happened yet."""
    filled = cells(parts, width)
    spans: list[Span] = [(sign * n, tone) for (_, sign, tone), n in zip(KINDS, filled, strict=True) if n]
    return tuple(spans) if spans else (("·" * width, "dim"),)


def spent(seconds: Seconds) -> tuple[float, float, float]:
    """The bar's parts: setup, offline and online."""
    return seconds.setup, seconds.offline, seconds.total


def fits(parts: Sequence[float], width: int) -> bool:
    """Whether the legend fits on one line."""
    return length(_long(parts, " ")) <= width


def legend(parts: Sequence[float], width: int, long: bool) -> list[Line]:
    """What the textures mean and how long each took: on one line, else words above numbers."""
    if long:
        return [
            next(
                (line for gap in ("    ", "   ", "  ") if length(line := _long(parts, gap)) <= width), _long(parts, " ")
            )
        ]
    step = max(9, width // 3)
    above: list[Span] = []
    for kind, sign, tone in KINDS:
        above += [(sign, tone), (f" {kind}".ljust(step - 1), "dim")]
    below = "".join(f"  {_number(value)}".ljust(step) for value in parts).rstrip()
    return [tuple(above), ((below, "plain"),)]


def _long(parts: Sequence[float], gap: str) -> Line:
    spans: list[Span] = []
    for (kind, sign, tone), value in zip(KINDS, parts, strict=True):
        spans += [(gap, "plain")] if spans else []
        spans += [(sign, tone), (f" {kind} ", "dim"), (_number(value), "plain")]
    return tuple(spans)


def _number(value: float) -> str:
    return number(value) if value > 0 else NOTHING
