"""An error that concerns the whole console: what happened, to whom, what to do, and the details to copy."""

from __future__ import annotations

from collections.abc import Iterable

from textual.widget import Widget
from textual.widgets import Button, Static, TextArea

from unfed.plugins import Failure

from ..actions import bindings
from ..figures.answer import KINDS, failure
from ..figures.text import clean
from ..widgets.lines import content
from .dialog import Choice, Dialog


class Details(TextArea):
    HELP = "The details of the error. Select with shift and the arrow keys; y copies everything."


class Trouble(Dialog[None]):
    """One failure; `details` (a traceback of a plugin's error) can be read and copied."""

    BINDINGS = bindings("modal", "copy")

    def __init__(self, error: Failure, details: str = "") -> None:
        super().__init__(classes="trouble")
        self.heading = KINDS[error.kind]
        self.error, self.details = error, clean(details)

    @property
    def text(self) -> str:
        """All of it, as it is copied."""
        return clean(str(self.error)) + (f"\n\n{self.details}" if self.details else "")

    def body(self) -> Iterable[Widget]:
        lines = failure(self.error, 66)
        yield Static(content(lines if self.error.party else lines[1:]), markup=False)  # the title says the rest
        if self.details:
            yield Details(self.details, read_only=True, compact=True, soft_wrap=False)

    def buttons(self) -> Iterable[Button]:
        yield Choice("Close", id="close", variant="primary", compact=True)
        yield Choice("Copy", id="copy", compact=True)

    def press(self, button: str) -> None:
        if button == "copy":
            self.action_copy()
        else:
            self.action_close()

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self.text)
        self.notify("Copied.")
