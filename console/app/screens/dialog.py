"""What dialogs share: a box in the middle, a title, buttons at its foot, escape closes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button

from ..actions import bindings
from ..widgets.lines import styled

Answer = TypeVar("Answer")


class Choice(Button):
    """A button of a dialog."""

    HELP = "Enter or a click does what it says; Tab goes to the next one, escape closes the dialog and changes nothing."


class Dialog(ModalScreen[Answer]):
    """A modal; closing it answers None."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("modal", "close"), *bindings("app", "help", "quit")]
    heading: str = ""

    @property
    def hint(self) -> str:
        """The keys that matter most, on the frame."""
        return "esc closes"

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = styled([(self.heading, "strong")])
            box.border_subtitle = styled([(self.hint, "dim")])
            yield from self.body()
            if buttons := list(self.buttons()):
                with Horizontal(classes="buttons"):
                    yield from buttons

    def body(self) -> Iterable[Widget]:
        raise NotImplementedError

    def buttons(self) -> Iterable[Button]:
        yield Choice("Close", id="close", compact=True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.press(event.button.id or "")

    def press(self, button: str) -> None:
        """A button was pressed; subclasses know more of them than `close`."""
        self.action_close()

    def action_close(self) -> None:
        self.dismiss(None)
