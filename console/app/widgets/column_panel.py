"""One variant's column on the Compare screen."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from ..board import Board
from ..columns import Column
from ..figures import answer, facts, phases, picture
from ..figures.badges import badge, reason_simulated
from ..figures.layout import Layout
from ..figures.text import Line, clean_line, shorten
from .lines import Lines, content, styled


class Facts(VerticalScroll):
    """What stands below the figures. The focus of a column rests here."""

    HELP = (
        "One backend's answer to your prompt. The bar shows where the time went: setup (keys, loading), offline "
        "(correlated randomness, made before the prompt matters) and online. Figures are online only and bytes are "
        "counted on the wire without TLS overhead. Fidelity compares tokens and logits with plain: a speed-up counts "
        "only at matched accuracy. Below stand the promises, each against one coalition of parties that pool what "
        "they have, what each node comes to see, and how the reward would be split. "
        "A column drawn with dashes and the word SIMULATED did not run the real technique."
    )


class ColumnPanel(Vertical):
    """Head, answer, phase bar, figures and facts of one variant; a frame that says where it stands."""

    ALLOW_MAXIMIZE = True

    def __init__(self, variant: str) -> None:
        super().__init__(classes="column")
        self.variant = variant
        self._answer: object = None

    def compose(self) -> ComposeResult:
        yield Lines(classes="badge")
        with VerticalScroll(classes="answer", can_focus=False):
            yield Static(markup=False, classes="text")
        yield Lines(classes="phases")
        yield Lines(classes="figures")
        with Facts(classes="facts"):
            yield Lines(classes="below")

    @property
    def inner(self) -> int:
        """Characters across."""
        return self.content_size.width

    def show(self, column: Column, board: Board, now: float, label: str | None, layout: Layout) -> None:
        """Draw `column`; `layout` is what all columns share."""
        width = self.inner
        head = "≈ " if column.mode == "simulated" else ""
        self.border_title = styled([(f"{head}{clean_line(column.variant)}", "strong")])
        self.border_subtitle = styled([answer.standing(column, now)])
        self.set_class(column.live, "-live")
        self.set_class(column.stage == "failed", "-failed")
        self.set_class(column.mode == "simulated", "-simulated")
        self._part(".badge", self._badge(column, width), layout.badge)
        self._show_answer(column, board, now, layout.answer)
        parts = phases.spent(column.seconds(now))
        legend = phases.legend(parts, width, layout.long_legend)
        self._part(".phases", [phases.bar(parts, width), *legend], 1 + len(legend))
        reference = board.reference() is column
        self._part(".figures", facts.figures(column, now, width, label, reference=reference), layout.figures)
        self.query_one(".below", Lines).show(facts.below(column, width - 1))

    def _part(self, selector: str, lines: Sequence[Line], rows: int) -> None:
        self.query_one(selector, Lines).show([*lines, *[()] * (rows - len(lines))])

    @staticmethod
    def _badge(column: Column, width: int) -> list[Line]:
        if column.problem is not None:
            return [(("✗ no plan", "bad"),)]
        mark = badge(column.guarantee, column.mode)
        lines = mark.lines(width)
        if column.mode == "simulated":
            why = clean_line(reason_simulated(column.guarantee)).removeprefix("simulated: ")
            lines.append(((" SIMULATED ", "simulated"), (" " + shorten(why, width - 12), "poor")))
        return lines

    def _show_answer(self, column: Column, board: Board, now: float, rows: int) -> None:
        pane = self.query_one(".answer", VerticalScroll)
        pane.styles.height = rows
        lines: list[Line] = []
        spans = answer.answer(column, board.difference(column))
        if spans:
            lines.append((*spans, ("▍", "accent")) if column.stage == "answering" else spans)
            lines += picture.scores(answer.classified(column), board.classes, self.inner - 1)
        if column.error is not None:
            lines += answer.failure(column.error, self.inner - 1)
        elif column.problem is not None:
            lines += answer.failure(column.problem, self.inner - 1)
        elif not spans:
            hint = answer.waiting(column, now) or (column.title if column.stage == "idle" else "")
            lines.append(((clean_line(hint), "dim"),))
        if lines != self._answer:
            self._answer = lines
            self.query_one(".text", Static).update(content(lines) if lines else Content(""))
            if column.live:
                pane.scroll_end(animate=False)
