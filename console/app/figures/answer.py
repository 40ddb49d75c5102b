"""A column's head and answer in toned text: where it stands, what it says so far, what went wrong."""

from __future__ import annotations

import textwrap

from unfed.plugins import Failure
from unfed.plugins.errors import Kind

from ..columns import Column
from . import numbers
from .text import Line, Tone, clean, clean_line

KINDS: dict[Kind, str] = {
    "bad-input": "cannot be used",
    "unavailable": "something is missing",
    "fleet": "fleet did not start",
    "party-lost": "party lost",
    "party-hung": "party hangs",
    "protocol": "protocol broken",
    "role": "error inside a party",
    "timeout": "out of time",
    "cancelled": "cancelled",
    "internal": "unexpected error",
}


def standing(column: Column, now: float) -> tuple[str, Tone]:
    """Where the column stands, in a few words, and their tone."""
    tokens = len(column.token_ids)
    counted = f"{tokens} token{'' if tokens == 1 else 's'}"
    if classified(column):
        counted = "1 image"
    match column.stage:
        case "idle":
            return ("fleet ready" if column.setup else "no fleet yet", "dim")
        case "waiting" | "ready":
            return ("waiting its turn", "dim")
        case "starting":
            since = now - column.starting_since if column.starting_since is not None else 0.0
            return (f"starting {numbers.parties(len(column.parties))} {since:.1f} s", "accent")
        case "answering":
            doing = list(column.open)[-1] if column.open else "answering"
            return (f"{clean_line(doing)} · {counted}", "accent")
        case "done":
            return (f"simulated · {counted}", "poor") if column.mode == "simulated" else (f"done · {counted}", "good")
        case "failed":
            return (KINDS[column.error.kind] if column.error else "failed", "bad")
        case "cancelled":
            return (f"cancelled · {counted}", "poor")


def classified(column: Column) -> list[float]:
    """The scores of the classes, where an image was answered."""
    return column.result.answer.scores if column.result is not None and column.result.answer is not None else []


def answer(column: Column, difference: int | None) -> Line:
    """The answer so far; from the first token that differs from the reference on, in the tone of a difference."""
    texts = [clean(piece.text) for piece in column.pieces]
    whole = clean(column.result.answer.text) if column.result is not None and column.result.answer is not None else None
    adds_up = whole is None or "".join(texts) == whole
    blank = next((index for index, text in enumerate(texts) if text.strip()), len(texts))
    texts = ["" if index < blank else text.lstrip() if index == blank else text for index, text in enumerate(texts)]
    if whole is not None and not adds_up:
        return ((whole.lstrip(), "plain"),)  # pieces that do not add up to the answer are not shown as if they did
    if difference is None or difference >= len(texts):
        return (("".join(texts), "plain"),) if texts else ()
    return (("".join(texts[:difference]), "plain"), ("".join(texts[difference:]), "poor"))


def failure(error: Failure, width: int) -> list[Line]:
    """What happened, to whom, and what to do next."""
    head = KINDS[error.kind]
    who = f"✗ {clean_line(error.party)}: " if error.party else "✗ "
    lines: list[Line] = [((who + head, "bad"),)]
    lines += [((row, "plain"),) for row in _wrapped(error.message, width)]
    for index, row in enumerate(_wrapped(error.hint or "", width - 2)):
        lines.append((("→ " if index == 0 else "  ", "accent"), (row, "plain" if index == 0 else "dim")))
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    """Rows of at most `width`; a hint may hold the end of a log, whose lines stay lines."""
    return [row for line in clean(text).split("\n") for row in textwrap.wrap(line, max(8, width))]


def height(text: str, width: int) -> int:
    """Rows that `text` takes when it is wrapped to `width`."""
    return sum(max(1, -(-len(row) // max(1, width))) for row in text.split("\n"))


def waiting(column: Column, now: float) -> str:
    """What an answer's place says while there is no answer."""
    seconds = column.seconds(now)
    if column.stage == "answering" and not column.pieces:
        return f"no token yet, {numbers.seconds(seconds.total)}"
    return ""
