"""The bar at the top: where one is, where one can go, and what is going on."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from ..figures.text import Span
from .lines import Lines

TABS = (("gallery", "Gallery"), ("compare", "Compare"), ("fleet", "Fleet"), ("runs", "Runs"), ("plugins", "Plugins"))


class Tab(Static):
    """A screen's name and key; a click goes there."""

    def __init__(self, mode: str, title: str, key: str, current: bool) -> None:
        text = Content.assemble((f"{key} ", "$primary" if not current else ""), title)
        super().__init__(text, classes="-current" if current else "", markup=False)
        self.mode = mode

    async def on_click(self, event: events.Click) -> None:
        await self.run_action(f"app.go('{self.mode}')")


class TopBar(Horizontal):
    """One row: the name, the screens, the state of the run."""

    def __init__(self, current: str, keys: dict[str, str]) -> None:
        super().__init__()
        self._current, self._keys = current, keys

    def compose(self) -> ComposeResult:
        yield Static("unfed", id="brand", markup=False)
        for mode, title in TABS:
            yield Tab(mode, title, self._keys.get(mode, ""), mode == self._current)
        yield Lines(id="going-on")

    def show(self, spans: list[Span]) -> None:
        self.query_one("#going-on", Lines).show([tuple(spans)])
