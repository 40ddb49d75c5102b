"""The least that a Textual app can be: a header, a label and a footer."""

from textual.app import App, ComposeResult
from textual.widgets import Footer, Header, Label


class Least(App[None]):
    BINDINGS = [("q", "quit", "Quit")]  # noqa: RUF012

    def compose(self) -> ComposeResult:
        yield Header()
        yield Label("\n".join("a line" for _ in range(20)))
        yield Footer()


Least().run()
