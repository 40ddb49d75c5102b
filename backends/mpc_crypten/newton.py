"""Where Newton's iterations start: the best line over a known range, and how many steps are then enough."""

from __future__ import annotations

import math

ENOUGH = 2.0**-14
"""Relative error after the last step; fixed point alone errs by 2⁻¹⁶."""
PEAKS = (1.0, 1.1, 1.2, 1.3, 1.4, 1.5)
"""How far above 1/√x a line may start: the further, the less far below it starts elsewhere. √3 is too far."""


def reciprocal_start(low: float, high: float) -> tuple[float, float, int]:
    """(first, slope, steps): from first - slope · x on, y ← y (2 - x y) reaches 1/x for `low` ≤ x ≤ `high`.

    The line errs alike at both ends and in the middle. Each step squares 1 - x y.
    """
    ends, middle = low * high / (low + high), (low + high) / 4
    first = 2 / (ends + middle)
    error = abs(1 - first * ends)
    steps = 0
    while error > ENOUGH:
        error, steps = error**2, steps + 1
    return first, first / (low + high), steps


def root_start(low: float, high: float) -> tuple[float, float, int]:
    """(first, slope, steps): from first - slope · x on, y ← y (3 - x y²) / 2 reaches 1/√x for `low` ≤ x ≤ `high`.

    The line is as far below 1/√x at one end as at the other; between them it may lie above.
    """
    slope = 1 / (low + math.sqrt(low * high) + high)
    least = math.sqrt(low) * (1 - slope * low)  # times `first`: the line over 1/√x at the ends
    most = 2 / 3 / math.sqrt(3 * slope)  # and at 1/(3 slope), where it is largest
    if not low <= 1 / (3 * slope) <= high:
        most = least
    peak = min(PEAKS, key=lambda peak: _steps(peak / most * least, peak))
    first = peak / most
    return first, first * slope, _steps(first * least, peak)


def _steps(*starts: float) -> int:
    """Steps until every y √x is 1."""
    steps = 0
    while max(abs(1 - start) for start in starts) > ENOUGH:
        starts = tuple(start * (3 - start**2) / 2 for start in starts)
        steps += 1
    return steps
