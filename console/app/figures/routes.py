"""The ways that queries take through fleets, as the Fleet screen draws them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from unfed.plugins import CLIENT, Route

from ...fleet.state import PartyState
from ...results.record import News, NoteInfo
from ..board import Board
from ..columns import Column
from . import facts, latency, numbers
from .parties import HEALTH, Key
from .text import Line, Span, clean_line, length

ARROWS = "  arrows: ms one way, half a round trip"


def routes(board: Board, width: int, notes: int) -> list[Line]:
    """Of each fleet that is there and whose client has told something: the way, and so many notes, the last ones."""
    lines: list[Line] = []
    there = {variant for variant, _ in board.parties}
    for column in board.columns.values():
        if column.variant not in there:
            continue
        news = [each for each in board.news if each.variant == column.variant]
        if column.route is not None:
            lines += way(column, column.route, board.parties, width)
            # What is told of the query in flight is the latest, and while none is, what is told of none.
            told: list[NoteInfo | News] = [*news, *column.notes] if column.live else [*column.notes, *news]
            lines += facts.notes(told[-notes:], width)
        elif news:
            lines += [((clean_line(column.variant), "strong"),), *facts.notes(news[-notes:], width)]
    return lines


def way(column: Column, route: Route, parties: Mapping[Key, PartyState], width: int) -> list[Line]:
    """`unfed  client ─0.12→ guard ─0.11→ relay-0 | relay-1 … ─0.12→ client   9.3 ms a token`, wrapped before arrows;
    dim once the answer is whole. Arrows bear what links take one way, the slowest where there are several."""
    ends = (CLIENT,)
    took = [latency.one_way(parties, column.variant, *link) for link in pairwise((ends, *route.steps, ends))]
    parts: list[list[Span]] = [[_party(CLIENT, parties.get((column.variant, CLIENT)), column)]]
    for seconds, step in zip(took, (*route.steps, ends), strict=True):
        spans: list[Span] = [("→ " if seconds is None else f"─{numbers.milliseconds(seconds)}→ ", "dim")]
        for name in step:
            spans += [(" | ", "dim")] if len(spans) > 1 else []
            spans.append(_party(name, parties.get((column.variant, name)), column))
        parts.append(spans)
    if route.seconds is not None:
        parts.append([(f"  {numbers.seconds(route.seconds)} a token", "strong" if column.live else "dim")])
    if any(seconds is not None for seconds in took):
        parts.append([(ARROWS, "dim")])
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
