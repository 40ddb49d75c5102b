"""A backend's card in the gallery."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical

from ..figures.cards import Card, foot, lines
from .lines import Lines, styled


class BackendCard(Vertical, can_focus=True):
    """Title, badge, summary, source; whether it is installed, and how to get it."""

    HELP = (
        "One technique. The badge says how well it keeps the prompt from the parties that compute, for the demo model: "
        "○ exposed, ◔ obfuscated, ◑ statistical, ◕ computational, ● information-theoretic, ◆ hardware. "
        "Enter opens Compare; space puts the backend into the comparison or takes it out. "
        "A card with → shows the command that installs what is missing."
    )

    def __init__(self, card: Card) -> None:
        super().__init__(classes="card")
        self.card = card

    def compose(self) -> ComposeResult:
        yield Lines(classes="inside")
        yield Lines(classes="foot")

    def on_mount(self) -> None:
        self.show(self.card)

    def on_resize(self) -> None:
        self.show(self.card)

    def show(self, card: Card) -> None:
        self.card = card
        self.border_title = styled([(card.name, "strong")])
        mark = styled([("✓ in comparison", "good")]) if card.chosen else styled([("", "dim")])
        self.border_subtitle = mark
        self.set_class(not card.usable, "-unusable")
        self.set_class(card.chosen, "-chosen")
        self.set_class(card.simulated, "-simulated")
        if width := self.content_size.width:
            self.query_one(".inside", Lines).show(lines(card, width))
            self.query_one(".foot", Lines).show(foot(card, width))
