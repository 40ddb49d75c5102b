"""Rows that the columns share, so that the same figure stands at the same height in each of them."""

from __future__ import annotations

import msgspec

from ..board import Board
from ..columns import Column
from . import answer, facts, phases, picture
from .badges import badge


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Heights in rows, the same for every column."""

    badge: int
    answer: int
    long_legend: bool
    figures: int


def layout(board: Board, now: float, width: int, label: str | None, room: int) -> Layout:
    """What the tallest column needs of each part.

    Args:
        width: of a column's inside.
        room: rows that an answer may take at the most; a longer one scrolls.
    """
    reference = board.reference()
    columns = board.columns.values()
    figures = (facts.figures(column, now, width, label, reference=column is reference) for column in columns)
    return Layout(
        badge=max([1, *(_head(column, width) for column in columns)]),
        answer=min(room, max([1, *(_rows(column, board, width) for column in columns)])),
        long_legend=all(phases.fits(phases.spent(column.seconds(now)), width) for column in columns),
        figures=max([0, *map(len, figures)]),
    )


def _head(column: Column, width: int) -> int:
    """Rows that the column's badge fills, and the reason where it is simulated."""
    return len(badge(column.guarantee, column.mode).lines(width)) + (column.mode == "simulated")


def _rows(column: Column, board: Board, width: int) -> int:
    """Rows that the column's answer, its classes and its error fill; one is left for a scrollbar's column."""
    text = "".join(text for text, _ in answer.answer(column, board.difference(column)))
    error = column.error or column.problem
    trouble = len(answer.failure(error, width - 1)) if error is not None else 0
    classes = len(picture.scores(answer.classified(column), board.classes, width - 1))
    return trouble + classes + (answer.height(text, width - 1) if text or not trouble else 0)
