"""Setup: profile, backends, their options, sampling and links, all generated from what declares them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, cast

from rich.text import Text
from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Checkbox, Select, Static

from ..actions import bindings
from ..desk import Choice, Desk
from ..figures.text import clean_line
from ..forms import apply, option_fields, run_fields
from ..survey import Survey, as_failure
from ..widgets.form_field import FieldSelect, FormField
from . import dialog

if TYPE_CHECKING:
    from ..app import UnfedApp


class Form(VerticalScroll):
    """Holds the fields; they take the focus, not it."""


class BackendBox(Checkbox):
    """A checkbox that says what it holds by a sign, not by a shade alone."""

    HELP = "Space puts this backend into the comparison or takes it out; its options stand below."

    def render(self) -> Content:
        self.BUTTON_INNER = "✓" if self.value else " "
        return super().render()


class SetupScreen(dialog.Dialog[Choice]):
    """Answers the new choice, or None where it was closed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("setup"),
        # Before the focused widget takes its keys in turn: what is typed next belongs to the one that comes then.
        Binding("tab", "app.focus_next", show=False, priority=True),
        Binding("shift+tab", "app.focus_previous", show=False, priority=True),
    ]
    heading = "setup"

    def __init__(self, desk: Desk, survey: Survey) -> None:
        super().__init__(classes="setup")
        self._desk, self._survey = desk, survey

    @property
    def hint(self) -> str:
        return f"{cast('UnfedApp', self.app).keys_of('setup.apply')} applies · esc closes"

    def body(self) -> Iterable[Widget]:
        choice, survey = self._survey.choice, self._survey
        profiles = list(dict.fromkeys([*([choice.profile] if choice.profile else []), *self._desk.profiles()]))
        defaults = self._desk.defaults(choice.profile)
        with Form(can_focus=False):
            with Vertical(classes="section"):
                yield Static("profile", classes="heading", markup=False)
                if profiles:
                    current = choice.profile or Select.NULL
                    yield FieldSelect(
                        [(Text(clean_line(name)), name) for name in profiles], value=current, id="profile", compact=True
                    )
            for name, backend in survey.backends.items():
                missing = survey.missing.get(name, ())
                with Vertical(classes="section"):
                    title = Content(f"{clean_line(name)}  {clean_line(str(backend.title))}")
                    yield BackendBox(title, name in choice.backends, name=name, disabled=bool(missing), compact=True)
                    if missing:
                        yield Static(f"→ {clean_line(missing[0].install)}", classes="install", markup=False)
                    for field in option_fields(backend, choice.options.get(name, {}), defaults.get(name)):
                        yield FormField(field)
            with Vertical(classes="section"):
                yield Static("run", classes="heading", markup=False)
                for field in run_fields(choice, self._desk.link_profiles(choice.profile)):
                    yield FormField(field)
        yield Static("", id="wrong", markup=False)

    def buttons(self) -> Iterable[Button]:
        yield dialog.Choice("Apply", id="apply", variant="primary", compact=True)
        yield dialog.Choice("Close", id="close", compact=True)

    def press(self, button: str) -> None:
        if button == "apply":
            self.action_apply()
        else:
            self.action_close()

    def filled(self) -> Choice:
        """The choice as the form stands. Raises `UnfedError`."""
        values = {field.field.key: field.text for field in self.query(FormField)}
        backends = [box.name or "" for box in self.query(BackendBox) if box.value]
        return apply(self._survey.choice, self._profile(), backends, values)

    def _profile(self) -> str | None:
        chosen = self.query("#profile")
        value = chosen.first(FieldSelect).value if chosen else None
        return value if isinstance(value, str) else self._survey.choice.profile

    @on(Select.Changed, "#profile")
    def _other_profile(self, event: Select.Changed) -> None:
        if isinstance(event.value, str) and event.value != self._survey.choice.profile:
            self._take_profile(event.value)

    @work(thread=True, exclusive=True, exit_on_error=False)
    def _take_profile(self, name: str) -> None:
        try:
            choice = self._desk.choice(name)
        except Exception as error:
            self.app.call_from_thread(self._wrong, str(as_failure(error)))
            return
        self.app.call_from_thread(self.dismiss, choice)

    def action_apply(self) -> None:
        self._check()

    @work(thread=True, exclusive=True, exit_on_error=False)
    def _check(self) -> None:
        """Make the variants of the filled form before it is taken, so that what is wrong is said beside it."""
        try:
            choice = self.filled()
            if choice.backends:
                self._desk.request(choice, None)
        except Exception as error:
            self.app.call_from_thread(self._wrong, str(as_failure(error)))
            return
        self.app.call_from_thread(self.dismiss, choice)

    def _wrong(self, text: str) -> None:
        self.query_one("#wrong", Static).update(Content(f"✗ {clean_line(text)}"))
