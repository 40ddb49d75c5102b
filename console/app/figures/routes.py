"""The ways that queries take through fleets, as the Fleet screen draws them."""

from __future__ import annotations

from collections.abc import Mapping

from unfed.plugins import Route

from ...fleet.state import PartyState
from ..board import Board
from ..columns import Column
from . import facts, numbers
from .parties import HEALTH, Key
from .text import Line, Span, clean_line, length


def routes(board: Board, width: int, notes: int) -> list[Line]:
    """Of each fleet that is there and whose client has told its way: that way, and so many of the last notes on it."""
    lines: list[Line] = []
    there = {variant for variant, _ in board.parties}
    for column in board.columns.values():
        if column.route is not None and column.variant in there:
            lines += way(column, column.route, board.parties, width)
            lines += facts.notes(column, width, notes)
    return lines


def way(column: Column, route: Route, parties: Mapping[Key, PartyState], width: int) -> list[Line]:
    """`unfed  guard → relay-0 | relay-1 → …   9.3 ms a token`, wrapped before arrows; dim once the answer is whole."""
    parts: list[list[Span]] = []
    for step in route.steps:
        spans: list[Span] = []
        for name in step:
            spans += [(" | ", "dim")] if spans else []
            spans.append(_party(name, parties.get((column.variant, name)), column))
        parts.append([("→ ", "dim"), *spans] if parts else spans)
    if route.seconds is not None:
        parts.append([(f"  {numbers.seconds(route.seconds)} a token", "strong" if column.live else "dim")])
    lines: list[list[Span]] = [[(f"{clean_line(column.variant)} ", "strong")]]
    for part in parts:
        if length(tuple(lines[-1])) + 1 + length(tuple(part)) > width and len(lines[-1]) > 1:
            lines.append([(" ", "plain")])
        lines[-1] += [(" ", "plain"), *part]
    return [tuple(line) for line in lines]


def _party(name: str, party: PartyState | None, column: Column) -> Span:
    """Its name; with the mark and in the tone of its health where it is not ready."""
    if party is None or party.health == "ready":
        return (clean_line(name), "plain" if column.live else "dim")
    word, tone = HEALTH[party.health]
    return (f"{word.partition(' ')[0]} {clean_line(name)}", tone)
