"""Plugins: what is installed, and what could not be imported."""

from __future__ import annotations

from collections.abc import Iterable

from textual.containers import VerticalScroll
from textual.widget import Widget

from ..actions import bindings
from ..figures.plugins import listing
from ..widgets.lines import Lines
from .page import Page


class Listing(VerticalScroll):
    HELP = (
        "Backends, reward schemes, attacks, launchers and model sources that are installed, built in or not. "
        "A plugin that could not be imported stands below with the reason and what to do; nothing else breaks with it."
    )


class PluginsScreen(Page):
    """A list to read."""

    mode = "plugins"
    period = 0.5
    BINDINGS = bindings("plugins")

    def body(self) -> Iterable[Widget]:
        with Listing(id="listing"):
            yield Lines(id="plugins")

    def on_mount(self) -> None:
        self.query_one(Listing).focus()

    def paint(self) -> None:
        if (survey := self.unfed.survey) is not None:
            width = max(40, self.query_one(Listing).content_size.width - 1)
            self.query_one("#plugins", Lines).show(listing(survey.plugins, survey.unavailable, width))
