"""Compare: the prompt at the bottom, one streaming column for each variant above it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from textual import on
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Static

from ..actions import bindings
from ..figures.choice import ways
from ..figures.text import Line, clean_line
from ..palette import Entry
from ..widgets.column_panel import ColumnPanel, Facts
from ..widgets.lines import content, styled
from ..widgets.prompt_box import PromptBox
from .page import Page


class CompareScreen(Page):
    """The main job."""

    mode = "compare"
    BINDINGS = bindings("compare")

    def body(self) -> Iterable[Widget]:
        yield Horizontal(id="columns")
        yield Static(id="no-columns", markup=False)
        yield PromptBox(self.unfed.history)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one(PromptBox).focus()

    @property
    def panel(self) -> ColumnPanel | None:
        """The focused column, or the only one."""
        panels = list(self.query(ColumnPanel))
        if self.focused is not None:
            for node in self.focused.ancestors_with_self:
                if isinstance(node, ColumnPanel):
                    return node
        return panels[0] if len(panels) == 1 else None

    def paint(self) -> None:
        board, app = self.unfed.board, self.unfed
        self._frame_prompt()
        holder = self.query_one("#columns", Horizontal)
        panels = {panel.variant: panel for panel in holder.query(ColumnPanel)}
        self.query_one("#no-columns").display = not board.columns
        holder.display = bool(board.columns)
        if list(panels) != list(board.columns):
            holder.remove_children()
            holder.mount(*(ColumnPanel(variant) for variant in board.columns))
            self._painted = -1
            self.call_after_refresh(self._tick)
            return
        if not board.columns:
            self._teach()
            return
        now, label = app.clock(), app.label
        room = max(3, int(holder.size.height * 0.32))
        wanted = 2
        for name, panel in panels.items():
            wanted = max(wanted, panel.wanted(board.columns[name], board.difference(board.columns[name])))
        for name, panel in panels.items():
            if not panel.show(board.columns[name], board, now, label, min(room, wanted)):
                self._painted = -1  # it has no size yet: again on the next tick

    def _frame_prompt(self) -> None:
        box = self.query_one(PromptBox)
        mode, rest = ways(self.unfed.choice)
        box.border_title = styled([("prompt", "strong")])
        box.border_subtitle = styled([*mode, ("  ", "plain"), *rest])

    def _teach(self) -> None:
        survey = self.unfed.survey
        keys = self.unfed.keys_of("compare.setup")
        lines: list[Line]
        if survey is not None and survey.problem is not None:
            lines = [
                (("✗ ", "bad"), (clean_line(str(survey.problem)), "plain")),
                ((f"{keys} changes the setup", "accent"),),
            ]
        elif survey is None:
            lines = [(("loading…", "dim"),)]
        else:
            lines = [(("No backend is chosen.", "strong"),), ((f"{keys} chooses some", "accent"),)]
        self.query_one("#no-columns", Static).update(content(lines))

    def palette(self) -> Iterable[Entry]:
        for name, column in self.unfed.board.columns.items():
            if column.live:
                yield Entry(f"{name}: Cancel", "Cancel this query; the others go on.", partial(self.unfed.cancel, name))

    # what keys and palette do

    @on(PromptBox.Sent)
    def ask(self, message: PromptBox.Sent) -> None:
        if self.unfed.ask(message.text):
            self.query_one(PromptBox).put("")

    def action_setup(self) -> None:
        self.unfed.open_setup()

    def action_race(self) -> None:
        self.unfed.toggle_race()

    def action_stop(self) -> None:
        if self.maximized is not None:
            self.minimize()
        elif self.unfed.board.running:
            self.unfed.action_stop_run()
        else:
            self.query_one(PromptBox).focus()

    def action_example(self) -> None:
        if (text := self.unfed.next_example()) is not None:
            box = self.query_one(PromptBox)
            box.put(text)
            box.focus()

    def action_prompt(self) -> None:
        self.query_one(PromptBox).focus()

    def action_cancel(self) -> None:
        if (panel := self.panel) is None:
            self.notify("Tab goes to a column; then x cancels it.")
        else:
            self.unfed.cancel(panel.variant)

    def action_zoom(self) -> None:
        if self.maximized is not None:
            self.minimize()
        elif (panel := self.panel) is not None:
            self.maximize(panel)
            self._painted = -1
            self.call_after_refresh(self._tick)

    def action_copy(self) -> None:
        if (panel := self.panel) is not None and (column := self.unfed.board.columns.get(panel.variant)) is not None:
            text = "".join(piece.text for piece in column.pieces)
            self.unfed.copy_to_clipboard(text)
            self.notify(f"Copied {len(text)} characters of {panel.variant}'s answer.", markup=False)

    def action_side(self, step: int) -> None:
        facts = list(self.query(Facts))
        if facts and (panel := self.panel) is not None:
            here = [pane.parent for pane in facts].index(panel)
            facts[(here + step) % len(facts)].focus()
