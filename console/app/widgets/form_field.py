"""One field of a form: label, what stands in it, and what it is for."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input, Select, Static

from ..figures.text import clean_line
from ..forms import Field


class FieldInput(Input):
    HELP = "A value for this option; empty means the default. A comma makes a sweep: one column for each value."


class FieldSelect(Select[str]):
    HELP = "One of a few values. Enter opens the list."


class FormField(Horizontal):
    """`Field` on the screen; `text` is what it holds now."""

    def __init__(self, field: Field) -> None:
        super().__init__(classes="field")
        self.field = field

    def compose(self) -> ComposeResult:
        field = self.field
        yield Static(clean_line(field.label), classes="label", markup=False)
        if field.choices and "," not in field.value:
            shown = field.value or field.default
            options = field.choices if shown in field.choices else (shown, *field.choices)
            yield FieldSelect(
                [(Text(clean_line(name)), name) for name in options], value=shown, allow_blank=False, compact=True
            )
        else:
            yield FieldInput(field.value, placeholder=field.default, compact=True)
        yield Static(clean_line(field.hint), classes="hint", markup=False)

    @property
    def text(self) -> str:
        """What it holds; empty where that is the default."""
        widget = self.query_one("FieldInput, FieldSelect")
        value = str(widget.value) if isinstance(widget, FieldInput | FieldSelect) else ""
        return "" if value == self.field.default and not self.field.key.startswith("run.") else value
