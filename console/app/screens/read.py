"""Something long to read, computed for the width there is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Button

from ..figures.text import Line
from ..widgets.lines import Lines
from .dialog import Dialog


class Reading(VerticalScroll):
    HELP = "Arrow keys and page up and down scroll; escape closes."


class Read(Dialog[None]):
    """A page over everything else."""

    def __init__(self, heading: str, lines: Callable[[int], Sequence[Line]]) -> None:
        super().__init__(classes="read")
        self.heading, self._lines = heading, lines

    def body(self) -> Iterable[Widget]:
        with Reading():
            yield Lines()

    def buttons(self) -> Iterable[Button]:
        return ()

    def on_resize(self) -> None:
        self.call_after_refresh(self._fill)

    def _fill(self) -> None:
        width = self.query_one(Reading).content_size.width - 1
        if width > 0:
            self.query_one(Lines).show(self._lines(width))
