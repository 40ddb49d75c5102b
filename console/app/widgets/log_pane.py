"""The end of one party's log."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from ..figures.text import Span, clean
from .lines import Lines


class LogPane(VerticalScroll):
    """What the party wrote to its stderr, the latest at the bottom. It follows unless one has scrolled up."""

    HELP = (
        "The end of the selected party's log file: what its process wrote to stderr. Logs never hold prompts, tokens, "
        "keys or shares. The heading says how many milliseconds a message takes over each of the party's links: half "
        "of a round trip, the least of the last few. Scroll up to stop following, down to the end to follow again."
    )

    def __init__(self) -> None:
        super().__init__(id="log")
        self._shown: tuple[str, ...] | None = None

    def compose(self) -> ComposeResult:
        yield Lines(id="log-head")
        yield Static(id="log-text", markup=False)

    def show(self, heading: list[Span], lines: Sequence[str]) -> None:
        self.query_one("#log-head", Lines).show([tuple(heading)])
        rows = tuple(clean(line) for line in lines)
        if rows == self._shown:
            return
        follow = self._shown is None or self.scroll_offset.y >= self.max_scroll_y - 1
        self._shown = rows
        self.query_one("#log-text", Static).update(Content("\n".join(rows) or "the log is empty"))
        if follow:
            self.call_after_refresh(self.scroll_end, animate=False)
