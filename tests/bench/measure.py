"""Contestants take turns within one run; a row compares two of them by the median of each round's ratio."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

SMALLER = frozenset({"s", "ms", "µs", "MB"})
"""Units of which less is better; of all others more is."""

Turn = Callable[[int], Awaitable[float | Mapping[str, float]]]
"""One contestant's go: its figure, or several by name. It is told the round's number; warm-up rounds are below 0."""


class Bar(msgspec.Struct, frozen=True):
    """What a row should reach: a limit on our figure, or on its ratio to the peer's."""

    of: str
    """`ours` or `ratio`."""
    limit: float

    def text(self, unit: str) -> str:
        if self.of == "ratio":
            return f"ratio ≥ {self.limit:g}"
        return f"{'≤' if unit in SMALLER else '≥'} {self.limit:g} {unit}"

    def met(self, ours: float, ratio: float | None, unit: str) -> bool:
        if self.of == "ratio":
            return ratio is not None and ratio >= self.limit
        return ours <= self.limit if unit in SMALLER else ours >= self.limit


class Row(msgspec.Struct, kw_only=True):
    """One comparison. `ours` and `peer` are medians, `ratio` the median over the rounds of how many times better
    (faster, smaller) ours was than the peer in that same round: above 1 we win, whatever the unit."""

    name: str
    against: str
    ours: float
    peer: float
    ratio: float
    unit: str
    runs: int
    max_error: float | None = None
    bar: str = ""
    met: bool | None = None
    partial: bool = False
    spread: dict[str, dict[str, float]] = {}
    notes: dict[str, Any] = {}


class Rounds:
    """Measurements of several contestants, round by round.

    Args:
        names: the contestants, in the order in which they go in even rounds; odd rounds go backwards.
    """

    def __init__(self, *names: str) -> None:
        self.names = names
        self.taken: list[dict[str, float]] = []
        self.wanted = 0

    async def take(self, turns: Mapping[str, Turn], *, runs: int, warmup: int = 1) -> None:
        """Run `warmup` rounds that are dropped and `runs` that count. What was taken stands if it is interrupted."""
        self.wanted = runs
        for number in range(-warmup, runs):
            order = self.names if number % 2 == 0 else self.names[::-1]
            taken: dict[str, float] = {}
            for name in order:
                found = await turns[name](number)
                taken.update(found if isinstance(found, Mapping) else {name: found})
            if number >= 0:
                self.taken.append(taken)

    def of(self, name: str) -> list[float]:
        return [each[name] for each in self.taken]

    def row(
        self,
        ours: str,
        peer: str,
        *,
        name: str,
        against: str,
        unit: str,
        bars: Sequence[Bar] = (),
        max_error: float | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> Row:
        """The figure `ours` against the figure `peer`. Raises ValueError where no round was finished."""
        if not self.taken:
            raise ValueError(f"{name}: no round was finished")
        mine, theirs = self.of(ours), self.of(peer)
        ratios = [ratio_of(a, b, unit) for a, b in zip(mine, theirs, strict=True)]
        middle, ratio = statistics.median(mine), statistics.median(ratios)
        return Row(
            name=name,
            against=against,
            ours=middle,
            peer=statistics.median(theirs),
            ratio=ratio,
            unit=unit,
            runs=len(self.taken),
            max_error=max_error,
            bar=", ".join(bar.text(unit) for bar in bars),
            met=all(bar.met(middle, ratio, unit) for bar in bars) if bars else None,
            partial=len(self.taken) < self.wanted,
            spread={"ours": spread(mine), "peer": spread(theirs), "ratio": spread(ratios)},
            notes=dict(notes or {}),
        )


def ratio_of(ours: float, peer: float, unit: str) -> float:
    """How many times better ours is than the peer's: less is better for some units, more for the others."""
    return peer / ours if unit in SMALLER else ours / peer


def spread(values: Sequence[float]) -> dict[str, float]:
    """Smallest, quartiles and largest; with one value, all five are it."""
    if len(values) == 1:
        low = middle = high = values[0]
    else:
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"min": min(values), "q1": low, "median": middle, "q3": high, "max": max(values)}
