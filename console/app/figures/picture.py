"""An image as half blocks, and the scores of its classes as bars."""

from __future__ import annotations

import math
from collections.abc import Sequence

from unfed.plugins import Image

from .text import Line, clean_line, shorten

SIDE = 16
"""Pixels across and down at the most; larger images are drawn coarser."""
BEST = 3
"""Classes that are shown, those with the largest scores."""
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def halves(image: Image) -> list[list[tuple[int, int]]]:
    """Rows of cells, each with the grey (0 to 255) of its upper and its lower half; pixels are square on a terminal."""
    import numpy as np

    values = image.numpy().mean(0)
    step = math.ceil(max(values.shape) / SIDE)
    height, width = (-(-side // step) for side in values.shape)
    padded = np.zeros((2 * -(-height // 2) * step, width * step), np.float32)
    padded[: values.shape[0], : values.shape[1]] = values
    coarse = padded.reshape(-1, step, width, step).mean((1, 3))
    levels = np.rint(coarse * 255).astype(int).tolist()
    return [list(zip(upper, lower, strict=True)) for upper, lower in zip(levels[::2], levels[1::2], strict=True)]


def scores(values: Sequence[float], classes: Sequence[str], width: int) -> list[Line]:
    """The classes with the largest scores: name, share of the softmax as a bar and in percent, and the score itself."""
    if not values or len(values) != len(classes):
        return []
    largest = max(values)
    powers = [math.exp(value - largest) for value in values]
    order = sorted(range(len(values)), key=lambda number: -values[number])[:BEST]
    names = [clean_line(classes[number]) for number in order]
    wide = min(max(map(len, names)), max(4, width // 3))
    room = max(0, min(24, width - wide - 18))
    lines: list[Line] = []
    for number, name in zip(order, names, strict=True):
        share = powers[number] / math.fsum(powers)
        told = f"{share:6.1%} {values[number]:8.2f}"
        tone = "plain" if number == order[0] else "dim"
        lines.append(((f"{shorten(name, wide):<{wide}} ", tone), (bar(share, room), "accent"), (f" {told}", tone)))  # type: ignore[arg-type]
    return lines


def bar(share: float, width: int) -> str:
    """`share` of `width` characters filled, by eighths."""
    eighths = round(share * width * 8)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(width)
