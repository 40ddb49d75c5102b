"""Where the time went: setup, offline and online as one bar, each with a texture and a word of its own."""

from __future__ import annotations

from collections.abc import Sequence

from .numbers import NOTHING, seconds
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
    out = [max(1, int(value)) if value > 0 else 0 for value in exact]
    while sum(out) < width:  # the largest remainders round up
        out[max(range(len(out)), key=lambda i: exact[i] - out[i])] += 1
    while sum(out) > width and max(out) > 1:  # what the smallest gained, the largest gives
        out[max(range(len(out)), key=lambda i: out[i])] -= 1
    return out


def bar(parts: Sequence[float], width: int) -> Line:
    """The bar; an empty track where nothing has happened yet."""
    filled = cells(parts, width)
    spans: list[Span] = [(sign * n, tone) for (_, sign, tone), n in zip(KINDS, filled, strict=True) if n]
    return tuple(spans) if spans else (("·" * width, "dim"),)


def legend(parts: Sequence[float], width: int) -> list[Line]:
    """What the textures mean and how long each took: one line where it fits, else words above numbers."""
    numbers = [seconds(value) if value > 0 else NOTHING for value in parts]
    for gap in ("    ", "   ", "  "):
        spans: list[Span] = []
        for (kind, sign, tone), number in zip(KINDS, numbers, strict=True):
            spans += [(gap, "plain")] if spans else []
            spans += [(sign, tone), (f" {kind} ", "dim"), (number, "plain")]
        if length(tuple(spans)) <= width:
            return [tuple(spans)]
    step = max(9, width // 3)
    above: list[Span] = []
    for kind, sign, tone in KINDS:
        above += [(sign, tone), (f" {kind}".ljust(step - 1), "dim")]
    return [tuple(above), (("".join(f"  {number}".ljust(step) for number in numbers).rstrip(), "plain"),)]
