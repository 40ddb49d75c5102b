"""One variant's column on the Compare screen."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from ..board import Board
from ..columns import Column
from ..figures import answer, facts, phases
from ..figures.badges import badge, reason_simulated
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
        """Characters across that text has, the facts' scrollbar left out."""
        return max(12, self.content_size.width - 1)

    def wanted(self, column: Column, difference: int | None) -> int:
        """Rows that the answer would fill."""
        if column.error is not None:
            rows = len(answer.failure(column.error, self.inner)) + (1 if column.pieces else 0)
        else:
            rows = 0
        text = "".join(text for text, _ in answer.answer(column, difference))
        return rows + (answer.height(text, self.inner) if text or not rows else 0)

    def show(self, column: Column, board: Board, now: float, label: str | None, rows: int) -> bool:
        """Draw `column`; `rows` is the height that all columns give to their answers. False before it has a size."""
        if not self.content_size.width:
            return False
        width = self.inner
        word, tone = answer.standing(column, now)
        head = "≈ " if column.mode == "simulated" else ""
        self.border_title = styled([(f"{head}{clean_line(column.variant)}", "strong")])
        self.border_subtitle = styled([(word, tone)])
        self.set_class(column.live, "-live")
        self.set_class(column.stage == "failed", "-failed")
        self.set_class(column.mode == "simulated", "-simulated")
        self.query_one(".badge", Lines).show(self._badge(column, width))
        self._show_answer(column, board, now, rows)
        spent = column.seconds(now)
        parts = (spent.setup, spent.offline, spent.total)
        self.query_one(".phases", Lines).show([phases.bar(parts, width), *phases.legend(parts, width)])
        self.query_one(".figures", Lines).show(
            facts.figures(column, now, width, label, reference=board.reference() is column)
        )
        self.query_one(".below", Lines).show(facts.below(column, width - 1))
        return True

    @staticmethod
    def _badge(column: Column, width: int) -> list[Line]:
        if column.problem is not None:
            return [(("✗ no plan", "bad"),)]
        mark = badge(column.guarantee, column.mode)
        lines: list[Line] = [((shorten(clean_line(mark.text), width), mark.tone),)]
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
        if column.error is not None:
            lines += answer.failure(column.error, self.inner)
        elif column.problem is not None:
            lines += answer.failure(column.problem, self.inner)
        elif not spans:
            hint = answer.waiting(column, now) or (column.title if column.stage == "idle" else "")
            lines.append(((clean_line(hint), "dim"),))
        if lines != self._answer:
            self._answer = lines
            self.query_one(".text", Static).update(content(lines) if lines else Content(""))
            if column.live:
                pane.scroll_end(animate=False)
