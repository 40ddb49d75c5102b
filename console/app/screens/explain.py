"""F1: what the focused widget is, and every key that works there, with the id it has in keymap.toml."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

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
    return [(" ".join(dict.fromkeys(shown)), IDS[name].about, name) for name, shown in keys.items()]


def table(rows: Sequence[Row]) -> list[Line]:
    """The rows with their columns aligned."""
    first = max((len(keys) for keys, _, _ in rows), default=0)
    second = max((len(about) for _, about, _ in rows), default=0)
    return [
        ((keys.rjust(first), "accent"), (f"  {about.ljust(second)}  ", "plain"), (name, "dim"))
        for keys, about, name in rows
    ]


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

    def on_mount(self) -> None:
        self.query_one("#keys", Lines).show(table(self._rows))
