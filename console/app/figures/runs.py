"""The list of saved runs, and one run in detail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...results.record import Record, Result
from . import numbers
from .badges import badge
from .grid import Heading, section, table
from .text import Line, Span, Tone, clean_line, names

if TYPE_CHECKING:
    from ...results.tables import Summary

WIDE = 110
"""From this width on, answers stand beside their figures."""

HEADS: tuple[Heading, ...] = (
    Heading("started", 16),
    Heading("profile"),
    Heading("ok", 2, number=True),
    Heading("failed", number=True),
    Heading("prompts", number=True),
    Heading("variants"),
    Heading("run"),
)


def row(run: Summary) -> tuple[Span, ...]:
    """The cells of one run, in the order of `HEADS`."""
    return (
        (clean_line(run.started.replace("T", " ")[:16]), "plain"),
        (clean_line(run.profile or numbers.NOTHING), "plain"),
        (str(run.ok), "good" if run.ok else "dim"),
        (str(run.failed), "bad" if run.failed else "dim"),
        (str(run.prompts), "plain"),
        (clean_line(names(run.variants)), "plain"),
        (clean_line(run.run_id), "dim" if run.status == "complete" else "poor"),
    )


def detail(record: Record, width: int) -> list[Line]:
    """Every result of a run: a table for each prompt, answers below their figures."""
    head: list[Span] = [(clean_line(record.run_id), "strong"), (f"  {clean_line(record.started)}", "dim")]
    head.append((f"  profile {clean_line(record.profile or numbers.NOTHING)}", "plain"))
    if record.concurrency > 1:
        head.append((f"  {record.concurrency} queries in flight: timings disturbed each other", "poor"))
    if record.status != "complete":
        head.append((f"  {record.status}", "poor"))
    lines: list[Line] = [tuple(head)]
    for prompt in record.prompts:
        lines += [(), section(clean_line(prompt.id), width), (("❯ ", "accent"), (clean_line(prompt.brief), "plain"))]
        results = [result for result in record.results if result.prompt_id == prompt.id]
        lines += _results(results, width)
    marks = {result.variant: badge(result.guarantee, result.mode) for result in record.results}
    if marks:
        lines += [(), section("promises", width)]
        lines += [
            ((clean_line(name) + "  ", "strong"), (clean_line(mark.text), mark.tone)) for name, mark in marks.items()
        ]
    return lines


def _results(results: Sequence[Result], width: int) -> list[Line]:
    """Names, answers and figures: in one table where there is room, else answers above figures."""
    figures = ["first", "per token", "total", "bytes", "rounds", "as plain"]
    rows = [_result(result) for result in results]
    if width >= WIDE:
        return table(["variant", "answer", *figures], rows, width)
    answers = table(["variant", "answer"], [row[:2] for row in rows], width)
    return answers + table(["variant", *figures], [[row[0], *row[2:]] for row in rows], width, grow=0)


def _result(result: Result) -> list[Span]:
    seconds, traffic = result.seconds, result.traffic
    name: Span = (f"{'≈ ' if result.mode == 'simulated' else ''}{clean_line(result.variant)}", "plain")
    if result.status != "ok":
        told = clean_line(str(result.error)) if result.error is not None else result.status
        nothing: Span = (numbers.NOTHING, "dim")
        return [name, (told, "bad"), *[nothing] * 6]
    tone: Tone = "good" if result.utility.correct else "plain"
    text = clean_line(result.answer.text).lstrip() if result.answer is not None else ""
    return [
        name,
        (text, tone),
        (numbers.seconds(seconds.first_token), "plain"),
        (numbers.seconds(seconds.per_token or None), "plain"),
        (numbers.seconds(seconds.total), "plain"),
        (numbers.size(traffic.bytes), "plain"),
        (numbers.count(traffic.rounds), "plain"),
        (numbers.percent(result.fidelity.token_agreement), "plain"),
    ]
