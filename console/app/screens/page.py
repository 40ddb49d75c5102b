"""What the screens share: top bar, footer, and painting that never outruns its period."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer

from ..figures.numbers import parties
from ..figures.text import Span
from ..widgets.topbar import TopBar

if TYPE_CHECKING:
    from ..app import UnfedApp
    from ..palette import Entry

LOOK_EVERY = 1.0
"""Seconds between looks at the parties: what befalls them between runs is told by no notice."""


class Page(Screen[None]):
    """One of the console's main screens."""

    mode: ClassVar[str]
    period: ClassVar[float] = 0.1
    """Seconds between repaints, at the least."""

    _painted = -1

    @property
    def unfed(self) -> UnfedApp:
        """The app, by its own type."""
        return cast("UnfedApp", self.app)

    def compose(self) -> ComposeResult:
        yield TopBar(self.mode, self.unfed.tab_keys())
        yield from self.body()
        yield Footer(show_command_palette=False)

    def body(self) -> Iterable[Widget]:
        """What stands between the bars."""
        raise NotImplementedError

    def on_mount(self) -> None:  # textual calls the handlers of every class in turn: no `super()` in subclasses
        self.set_interval(self.period, self._tick)
        self.set_interval(LOOK_EVERY, self._look)

    def on_screen_resume(self) -> None:
        self.call_after_refresh(self.draw)

    def on_resize(self) -> None:
        self.call_after_refresh(self.draw)

    def draw(self) -> None:
        """Paint now, whatever was painted before."""
        self._painted = -1
        self._tick()

    def _tick(self) -> None:
        if self.is_current and (self._painted != self.unfed.version or self.unfed.board.running):
            self._painted = self.unfed.version
            self.query_one(TopBar).show(self._going_on())
            self.paint()

    def _look(self) -> None:
        """Between notices: the session's own word, of which most screens show the head count alone."""
        if self.is_current and self.unfed.sync():
            self.query_one(TopBar).show(self._going_on())

    def _going_on(self) -> list[Span]:
        board = self.unfed.board
        if self.unfed.survey is None:
            return [("loading… ", "dim")]
        if board.running:
            live = sum(column.live for column in board.columns.values())
            return [(f"● {live} of {len(board.columns)} live ", "accent")]
        alive = sum(party.health not in ("lost", "stopped") for party in board.parties.values())
        return [(f"{parties(alive)} ", "dim")] if alive else [("", "dim")]

    def paint(self) -> None:
        """Bring the widgets up to date with the board."""

    def palette(self) -> Iterable[Entry]:
        """Entries of this screen that depend on what it shows."""
        return ()
