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
from ..figures.layout import layout
from ..figures.text import Line, Span, clean_line, shorten
from ..palette import Entry
from ..widgets.column_panel import ColumnPanel, Facts
from ..widgets.lines import content, styled
from ..widgets.picture import Picture
from ..widgets.prompt_box import ASK, ASK_IMAGE, PromptBox
from .page import Page


class CompareScreen(Page):
    """The main job."""

    mode = "compare"
    BINDINGS = bindings("compare")
    VERTICAL_BREAKPOINTS = [(0, "-short"), (34, "-tall")]  # noqa: RUF012 - textual declares it on instances

    _was_running = False
    _building: list[str] | None = None

    def body(self) -> Iterable[Widget]:
        yield Horizontal(id="columns")
        yield Static(id="no-columns", markup=False)
        with Horizontal(id="asking"):
            yield Picture()
            yield PromptBox(self.unfed.history)

    def on_mount(self) -> None:
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
        if board.running != self._was_running:
            self._was_running = board.running
            self.refresh_bindings()
        self._frame_prompt()
        holder = self.query_one("#columns", Horizontal)
        panels = {panel.variant: panel for panel in holder.query(ColumnPanel)}
        self.query_one("#no-columns").display = not board.columns
        holder.display = bool(board.columns)
        if list(panels) != list(board.columns):
            if list(board.columns) != self._building:
                self._building = list(board.columns)
                self.run_worker(self._build(holder, self._building), group="columns", exclusive=True)
            return
        self._building = None
        if not board.columns:
            self._teach()
            return
        width = min(panel.inner for panel in panels.values())
        if not width:
            self._painted = -1  # they have no size yet: again on the next tick
            return
        now, label = app.clock(), app.label
        shared = layout(board, now, width, label, room=max(3, holder.size.height // 3))
        for name, panel in panels.items():
            panel.show(board.columns[name], board, now, label, shared)

    async def _build(self, holder: Horizontal, variants: list[str]) -> None:
        """Panels for these variants in place of those there are."""
        async with self.batch():
            await holder.remove_children()
            await holder.mount(*(ColumnPanel(variant) for variant in variants))
        self.call_after_refresh(self.draw)

    def _frame_prompt(self) -> None:
        box = self.query_one(PromptBox)
        mode, rest = ways(self.unfed.choice)
        asked = clean_line(self.unfed.board.prompt)
        title: list[Span] = [("asked ", "dim"), (shorten(asked, max(20, self.size.width - 16)), "plain")]
        picture = self.query_one(Picture)
        picture.show(self.unfed.board.image)
        box.styles.min_height = picture.styles.height if picture.display else None
        box.placeholder = ASK_IMAGE if self._images() else ASK
        box.border_title = styled(title if asked else [("prompt", "strong")])
        box.border_subtitle = styled([*mode, ("  ", "plain"), *rest])

    def _images(self) -> bool:
        """Whether what is typed names an image, as far as the examples tell."""
        survey = self.unfed.survey
        return survey is not None and any(each.image for each in survey.examples)

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

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Stopping is offered while there is something to stop; escape goes to the prompt otherwise."""
        idle = not self.unfed.board.running and isinstance(self.focused, PromptBox)
        return not (action == "stop" and idle)

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
            self.call_after_refresh(self.draw)

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
