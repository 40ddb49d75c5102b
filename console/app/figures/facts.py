"""What stands below an answer: cost, fidelity, promises, who saw what, and how the reward splits."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from ...results.record import News, NoteInfo
from ..columns import Column
from . import numbers, promises
from .grid import Cell, grid, section, table
from .text import Line, Span, Tone, clean_line, hanging

WIDE = 64
"""From this width on, figures stand in three groups instead of two."""

WIDE_WORDS = {"as plain": "tokens as plain"}
NARROW_WORDS = {"first token": "first", "logit error": "Δ logit", "mean KL": "KL"}


def times(column: Column, now: float) -> list[Cell]:
    """First token, per token and total, online only; and what was made for the query before it was asked, if anything:
    the bar shows what it waited for."""
    seconds = column.seconds(now)
    ahead: list[Cell] = [("made ahead", numbers.seconds(seconds.ahead), "plain")] if seconds.ahead else []
    return [
        ("first token", numbers.seconds(seconds.first_token or None), "plain"),
        ("per token", numbers.seconds(seconds.per_token or None), "plain"),
        ("total", numbers.seconds(seconds.total or None), "strong"),
        *ahead,
    ]


def traffic(column: Column) -> list[Cell]:
    """Messages, bytes and rounds on the wire, known once the result is."""
    cost = column.result.traffic if column.result is not None else None
    cost = cost if cost is not None and cost.messages else None  # nothing was sent: there is nothing to count
    return [
        ("messages", numbers.count(cost.messages if cost else None), "plain"),
        ("bytes", numbers.size(cost.bytes if cost else None), "plain"),
        ("rounds", numbers.count(cost.rounds if cost else None), "plain"),
    ]


def quality(column: Column, label: str | None, reference: bool) -> list[Cell]:
    """Fidelity to the reference (which this column itself may be), and whether the answer is the label."""
    result = column.result
    cells: list[Cell]
    if result is None or result.status != "ok":
        cells = [("as plain", numbers.NOTHING, "plain")]
    elif reference:
        cells = [("as plain", "itself", "plain")]
    elif result.fidelity.reference is None:
        cells = [("as plain", shortest(result.fidelity.reason), "dim")]
    else:
        same = result.fidelity.token_agreement
        tone: Tone = "plain" if same is None else "good" if same == 1 else "poor"
        cells = [
            (f"as {clean_line(result.fidelity.reference)}", numbers.percent(same), tone),
            ("mean KL", numbers.error(result.fidelity.mean_kl), "plain"),
            ("logit error", numbers.error(result.fidelity.max_logit_error), "plain"),
        ]
        if result.fidelity.margin is not None:
            cells.append(("margin", numbers.error(result.fidelity.margin), "plain"))
    if label and result is not None and result.status == "ok" and result.utility.correct is not None:
        right = result.utility.correct
        cells.append(("label", f"{'✓' if right else '✗'} {clean_line(label)}", "good" if right else "poor"))
    return cells


def shortest(reason: str | None) -> str:
    """Why there is no fidelity, in the few words that a cell has room for."""
    return clean_line(reason or "not measured")


def figures(column: Column, now: float, width: int, label: str | None = None, *, reference: bool = False) -> list[Line]:
    """All figures as a grid: three groups where there is room, else two with fidelity below."""
    cost, wire, faith = times(column, now), traffic(column), quality(column, label, reference)
    if column.mode == "simulated":  # nothing of it is drawn like a figure that was measured on the real thing
        cost, wire, faith = ([(name, value, "poor") for name, value, _ in group] for group in (cost, wire, faith))
    if width >= WIDE:
        wide = [(WIDE_WORDS.get(name, name), value, tone) for name, value, tone in faith]
        return grid((cost, wire, wide), width)
    narrow = [(NARROW_WORDS.get(name, name), value, tone) for name, value, tone in cost + faith]
    cost, faith = narrow[: len(cost)], narrow[len(cost) :]
    half = (len(faith) + 1) // 2
    return [*grid((cost, wire), width, gap=2), *grid((faith[:half], faith[half:]), width, gap=2)]


def shares(column: Column, width: int) -> list[Line]:
    """For each node what it sees by the claims, wrapped, and its share under each reward scheme."""
    rewards = column.result.rewards if column.result is not None else []
    paid = {name: None for split in rewards for name in split.shares}
    nodes = [name for name in column.parties if name != "client"] or list(paid)
    if not nodes:
        return []
    room = width - max(4, *map(len, nodes)) - 2 - sum(max(len(split.scheme), 4) + 2 for split in rewards)
    rows: list[list[Span]] = []
    for name in nodes:
        seen = textwrap.wrap(promises.sees(column.guarantee, name), max(8, room))
        earned: list[Span] = [(numbers.percent(split.shares.get(name)), "plain") for split in rewards]
        rows.append([(clean_line(name), "plain"), (seen[0], "dim"), *earned])
        empty: Span = ("", "plain")
        rows += [[empty, (more, "dim"), *[empty] * len(rewards)] for more in seen[1:]]
    lines = table(["node", "sees", *(clean_line(split.scheme) for split in rewards)], rows, width)
    for split in rewards:
        if split.reason:  # a scheme that failed says why
            head = clean_line(split.scheme)
            lines += hanging((head, "poor"), clean_line(split.reason), "plain", width, len(head) + 2)
    return lines


def links(column: Column, width: int) -> list[Line]:
    """Messages and bytes in each direction of each link."""
    rows: list[list[Span]] = [
        [
            (f"{clean_line(link.source)} → {clean_line(link.target)}", "plain"),
            (numbers.count(link.messages), "plain"),
            (numbers.size(link.bytes), "plain"),
        ]
        for link in column.links
    ]
    return table(["link", "messages", "bytes"], rows, width, grow=0) if rows else []


def phases(column: Column, width: int) -> list[Line]:
    """The named phases of the query, and metrics that roles reported."""
    result = column.result
    if result is None:
        return []
    told = [(name, numbers.seconds(value)) for name, value in result.seconds.phases.items()]
    told += [(name, f"{value:g}") for name, value in result.metrics.items()]
    rows: list[list[Span]] = [[(clean_line(name), "plain"), (value, "plain")] for name, value in told]
    return table(["phase", "time"], rows, width, grow=0) if rows else []


def notes(told: Iterable[NoteInfo | News], width: int) -> list[Line]:
    """What happened on the way to an answer, such as retries, or between two: when (seconds since the query began, or
    the time of day), to whom, and in words that wrap."""
    out: list[Line] = []
    for note in told:
        when = numbers.seconds(note.at) if isinstance(note, NoteInfo) else numbers.time_of_day(note.at)
        head = f"{when}  {clean_line(note.kind)}"
        text = f"{note.party}: {note.text}" if note.party and note.party not in note.text else note.text
        out += hanging((head, "dim"), clean_line(text), "plain", width, len(head) + 2)
    return out


def audit(column: Column, width: int) -> list[Line]:
    """What was recorded at each party, and what an attack on it gave; a missing attack is said, not left out."""
    result = column.result
    if result is None or not (result.audit or result.views):
        return []
    sizes = {view.party: numbers.size(view.bytes) for view in result.views}
    tried = {entry.party: entry for entry in result.audit}
    rows: list[list[Span]] = []
    for party in dict.fromkeys([*sizes, *tried]):
        entry = tried.get(party)
        told = clean_line((entry.attack or entry.reason or "") if entry is not None else "yours: not attacked")
        recovered = numbers.percent(entry.token_recovery if entry is not None else None)
        size: Span = (sizes.get(party, numbers.NOTHING), "plain")
        rows.append([(clean_line(party), "plain"), (told, "dim"), size, (recovered, "plain")])
    return table(["party", "attack", "view", "tokens"], rows, width)


def below(column: Column, width: int) -> list[Line]:
    """Everything that scrolls below the figures, section by section."""
    out: list[Line] = []
    if column.guarantee:
        out += [section("promises", width), *promises.lines(column.guarantee, width, column.mode)]
    if rows := shares(column, width):
        title = "who sees what, who earns what" if column.result is not None else "who sees what"
        out += [(), section(title, width), *rows]
    if rows := links(column, width):
        out += [(), section("on the wire (without TLS)", width), *rows]
    if rows := audit(column, width):
        out += [(), section("recorded and attacked", width), *rows]
    if rows := notes(column.notes, width):
        out += [(), section("on the way", width), *rows]
    if rows := phases(column, width):
        out += [(), section("phases", width), *rows]
    return out
