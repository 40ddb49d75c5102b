"""The image that was asked, drawn with half blocks."""

from __future__ import annotations

from textual.color import Color
from textual.content import Content
from textual.style import Style
from textual.widgets import Static

from unfed.plugins import Image

from ..figures.picture import halves


class Picture(Static):
    """Shown while an image is what was asked."""

    def __init__(self) -> None:
        super().__init__(id="picture", markup=False)
        self._shown: Image | None = None
        self.display = False

    def show(self, image: Image | None) -> None:
        """Draw `image`, or nothing."""
        if image is self._shown:
            return
        self._shown, self.display = image, image is not None
        rows = halves(image) if image is not None else []
        self.styles.width, self.styles.height = (len(rows[0]) + 2, len(rows)) if rows else (0, 0)
        self.update(Content("\n").join([Content.assemble(*(_cell(*cell) for cell in row)) for row in rows]))


def _cell(upper: int, lower: int) -> tuple[str, Style]:
    return "▀", Style(foreground=Color(upper, upper, upper), background=Color(lower, lower, lower))
