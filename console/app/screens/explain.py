"""F1: what the focused widget is, and every key that works there, with the id it has in keymap.toml."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Button, Static

from ..actions import IDS
from ..figures.text import Line
from ..widgets.lines import Lines
from .dialog import Dialog

Row = tuple[str, str, str]
"""Keys, what they do, and the id of the action."""


def help_of(widget: Widget | None) -> str:
    """The help text of a widget, or of the closest thing around it that has one."""
    while widget is not None:
        if widget.HELP:
            return widget.HELP
        parent = widget.parent
        widget = parent if isinstance(parent, Widget) else None
    return "Tab moves the focus from one thing to the next; what has the focus explains itself here."


def keys_here(screen: Screen[object]) -> list[Row]:
    """The actions that have a key right now, each once, with the keys as they are remapped."""
    keys: dict[str, list[str]] = {}
    for active in screen.active_bindings.values():
        if active.binding.id in IDS and active.enabled:
            keys.setdefault(active.binding.id, []).append(screen.app.get_key_display(active.binding))
    return [(" ".join(list(dict.fromkeys(shown))[:2]), IDS[name].about, name) for name, shown in keys.items()]


def table(rows: Sequence[Row], width: int) -> list[Line]:
    """The rows with their columns aligned; what they do is wrapped."""
    first = max((len(keys) for keys, _, _ in rows), default=0)
    second = max((len(name) for _, _, name in rows), default=0)
    lines: list[Line] = []
    for keys, about, name in rows:
        told = textwrap.wrap(about, max(16, width - first - second - 4)) or [""]
        lines.append(((keys.rjust(first), "accent"), (f"  {name.ljust(second)}  ", "dim"), (told[0], "plain")))
        lines += [((" " * (first + second + 4) + row, "plain"),) for row in told[1:]]
    return lines


class Keys(VerticalScroll):
    HELP = "Every key that works where you came from. The grey word is the action's id, for keymap.toml."


class Explain(Dialog[None]):
    """Made before it is pushed, so that it is about what had the focus."""

    heading = "help"

    def __init__(self, text: str, rows: Sequence[Row], keymap: str) -> None:
        super().__init__(classes="explain")
        self._text, self._rows, self._keymap = text, rows, keymap

    def body(self) -> Iterable[Widget]:
        yield Static(self._text, id="explanation", markup=False)
        with Keys():
            yield Lines(id="keys")
        yield Static(f"Your own keys go into {self._keymap}", id="where", markup=False)

    def buttons(self) -> Iterable[Button]:
        return ()

    def on_resize(self) -> None:
        self.call_after_refresh(self._fill)

    def _fill(self) -> None:
        width = self.query_one(Keys).content_size.width - 1
        self.query_one("#keys", Lines).show(table(self._rows, width))
