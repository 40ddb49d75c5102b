"""The gallery: what is there to be compared, and one demo that runs at once."""

from __future__ import annotations

from collections.abc import Iterable

from textual.app import ComposeResult
from textual.containers import Grid, Vertical, VerticalScroll
from textual.widget import Widget

from ..actions import bindings
from ..figures.cards import Card
from ..figures.text import Line, clean_line, names, shorten, typed
from ..survey import Survey
from ..widgets.backend_card import BackendCard
from ..widgets.lines import Lines, styled
from .page import Page

WELCOME: tuple[Line, ...] = (
    (("The same prompt through many techniques of private inference,", "strong"),),
    (("each run by real processes that do not trust each other:", "dim"),),
    (("what it costs, what it promises, who sees what.", "dim"),),
)

CARD_ROWS = 10
"""Height of a card, as in gallery.tcss."""


class DemoCard(Vertical, can_focus=True):
    """The demo: Enter runs it."""

    HELP = (
        "Enter starts real processes for each chosen backend on this machine, asks them the demo prompt, and shows "
        "their answers side by side. It needs no network and takes seconds."
    )

    def compose(self) -> ComposeResult:
        yield Lines(classes="inside")

    def show(self, survey: Survey | None) -> None:
        self.border_title = styled([("demo", "strong")])
        self.border_subtitle = styled([("Enter runs it", "accent")])
        if survey is None:
            self.query_one(Lines).show([(("looking at what is installed…", "dim"),)])
            return
        lines: list[Line] = []
        width = self.content_size.width or 60
        if survey.examples:
            lines.append((("❯ ", "accent"), (shorten(clean_line(typed(survey.examples[0])), width - 2), "plain")))
        if survey.columns:
            parties = sum(len(column.parties) for column in survey.columns)
            who = names(column.variant for column in survey.columns)
            lines.append(((f"{who} side by side, {parties} processes on this machine", "dim"),))
        else:
            lines.append((("no backend is chosen: go to a card and press space", "poor"),))
        self.query_one(Lines).show(lines)


class GalleryScreen(Page):
    """First run opens here."""

    mode = "gallery"
    period = 0.2
    BINDINGS = bindings("gallery")

    _building: list[str] | None = None

    def body(self) -> Iterable[Widget]:
        with VerticalScroll(id="gallery", can_focus=False):
            yield Lines(id="welcome")
            yield DemoCard(id="demo", classes="card")
            yield Grid(id="cards")

    def on_mount(self) -> None:
        self.query_one("#welcome", Lines).show(WELCOME)
        self.query_one(DemoCard).focus()

    def paint(self) -> None:
        survey = self.unfed.survey
        self.query_one(DemoCard).show(survey)
        if survey is not None:
            self._show_cards(list(survey.cards))

    def _show_cards(self, cards: list[Card]) -> None:
        grid = self.query_one("#cards", Grid)
        across = max(1, grid.size.width // 36)
        grid.styles.grid_size_columns = across
        grid.styles.height = CARD_ROWS * -(-len(cards) // across)
        shown = {widget.card.name: widget for widget in grid.query(BackendCard)}
        names = [card.name for card in cards]
        if set(shown) != set(names):
            if names != self._building:
                self._building = names
                self.run_worker(self._build(grid, cards), group="cards", exclusive=True)
            return
        self._building = None
        for card in cards:  # order stays as it was: a card does not run away from under the cursor
            shown[card.name].show(card)

    async def _build(self, grid: Grid, cards: list[Card]) -> None:
        async with self.batch():
            await grid.remove_children()
            await grid.mount(*(BackendCard(card) for card in cards))

    def action_open(self) -> None:
        if isinstance(self.focused, DemoCard):
            self.action_demo()
        else:
            if isinstance(self.focused, BackendCard) and not self.focused.card.chosen:
                self.action_pick()
            self.unfed.call_later(self.unfed.go, "compare")

    def action_demo(self) -> None:
        self.unfed.demo()

    def action_pick(self) -> None:
        if isinstance(self.focused, BackendCard):
            if self.focused.card.usable:
                self.unfed.pick(self.focused.card.name)
            else:
                why = self.focused.card.install or (self.focused.card.problem,)
                self.notify(f"{self.focused.card.name} cannot run yet. {why[0]}", severity="warning", markup=False)

    def action_move(self, step: int) -> None:
        if step > 0:
            self.focus_next(".card")
        else:
            self.focus_previous(".card")
