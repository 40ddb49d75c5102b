"""Asks before something that cannot be undone."""

from __future__ import annotations

from collections.abc import Iterable

from textual.widget import Widget
from textual.widgets import Button, Static

from .dialog import Choice, Dialog


class Confirm(Dialog[bool]):
    """Yes or no; the focus starts on no."""

    def __init__(self, question: str, consequence: str, *, yes: str) -> None:
        super().__init__(classes="confirm")
        self.heading, self._consequence, self._yes = question, consequence, yes

    def body(self) -> Iterable[Widget]:
        yield Static(self._consequence, markup=False)

    def buttons(self) -> Iterable[Button]:
        yield Choice("No", id="close", compact=True)
        yield Choice(self._yes, id="yes", variant="error", compact=True)

    def press(self, button: str) -> None:
        self.dismiss(button == "yes")

    def action_close(self) -> None:
        self.dismiss(False)
