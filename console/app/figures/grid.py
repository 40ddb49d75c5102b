"""Small grids of labels and numbers, and tables, as lines of toned text."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from .text import Line, Span, Tone, shorten

Cell = tuple[str, str, Tone]
"""A label, its value, and the value's tone."""


def section(title: str, width: int) -> Line:
    """A heading with a rule that runs to the edge."""
    return ((title, "title"), (" " + "─" * max(0, width - len(title) - 1), "dim"))


def grid(groups: Sequence[Sequence[Cell]], width: int, gap: int = 3) -> list[Line]:
    """Groups side by side, labels left and values right; the space is shared out evenly."""
    share = (width - gap * (len(groups) - 1)) // len(groups)
    lines: list[Line] = []
    for row in range(max((len(group) for group in groups), default=0)):
        spans: list[Span] = []
        for index, group in enumerate(groups):
            spans += [(" " * gap, "plain")] if index else []
            spans += _cell(group[row], share) if row < len(group) else [(" " * share, "plain")]
        lines.append(tuple(spans))
    return lines


def _cell(cell: Cell, width: int) -> list[Span]:
    label, value, tone = cell
    label = shorten(label, max(0, width - len(value) - 1))
    return [(label, "dim"), (" " * max(1, width - len(label) - len(value)), "plain"), (value, tone)]


def table(heads: Sequence[str], rows: Sequence[Sequence[Span]], width: int, grow: int = 1) -> list[Line]:
    """A table whose first columns are text (left) and whose last ones, past `grow`, are numbers (right).

    Args:
        grow: the column that takes what is left of `width` (and gives, when there is too little).
    """
    widths = [max(len(head), *(len(row[i][0]) for row in rows)) if rows else len(head) for i, head in enumerate(heads)]
    fixed = sum(widths) - widths[grow] + 2 * (len(widths) - 1)
    widths[grow] = max(4, width - fixed)
    lines: list[Line] = [tuple(_spread([(head, "dim") for head in heads], widths, grow))]
    lines += [tuple(_spread(row, widths, grow)) for row in rows]
    return lines


def _spread(row: Sequence[Span], widths: Sequence[int], grow: int) -> list[Span]:
    spans: list[Span] = []
    for index, ((text, tone), width) in enumerate(zip(row, widths, strict=True)):
        text = shorten(text, width)
        spans += [("  ", "plain")] if index else []
        spans.append((text.rjust(width) if index > grow else text.ljust(width), tone))
    return spans


class Heading(msgspec.Struct, frozen=True):
    """A column of a live table. `least` keeps it from jumping when a number grows; numbers stand at the right."""

    title: str
    least: int = 0
    number: bool = False

    def fit(self, text: str, width: int) -> str:
        return text.rjust(width) if self.number else text.ljust(width)


def widths(heads: Sequence[Heading], rows: Sequence[Sequence[Span]]) -> list[int]:
    """How wide each column must be for its title and every cell."""
    return [
        max(head.least, len(head.title), *(len(row[index][0]) for row in rows))
        if rows
        else max(head.least, len(head.title))
        for index, head in enumerate(heads)
    ]
