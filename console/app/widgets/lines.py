"""Toned text on the screen: the one place where tones get their colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.content import Content
from textual.widgets import Static

from ..figures.text import Line, Span, Tone

STYLES: dict[Tone, str] = {
    "plain": "",
    "dim": "$foreground 55%",
    "strong": "bold",
    "title": "bold $secondary",
    "good": "$text-success",
    "fair": "$text-warning",
    "poor": "$text-warning",
    "bad": "$text-error",
    "accent": "$text-primary",
    "simulated": "bold reverse $warning",
}


def styled(spans: Iterable[Span]) -> Content:
    """One line. Nothing in it is taken for markup."""
    return Content.assemble(*((text, STYLES[tone]) for text, tone in spans))


def content(lines: Sequence[Line]) -> Content:
    """Several lines."""
    return Content("\n").join([styled(line) for line in lines])


class Lines(Static):
    """Lines computed for its width; redrawn only when they changed."""

    DEFAULT_CSS = "Lines { text-wrap: nowrap; text-overflow: clip; }"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes, markup=False)
        self._shown: Sequence[Line] | None = None

    def show(self, lines: Sequence[Line]) -> None:
        if lines != self._shown:
            self._shown = lines
            self.update(content(lines))
