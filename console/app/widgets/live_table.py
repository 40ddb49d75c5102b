"""A table whose columns are as wide as what they hold, and of which only cells that changed are drawn again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text
from textual.content import Content
from textual.widgets import DataTable

from ..figures.grid import Heading, widths
from ..figures.text import Span
from .lines import styled

Row = Sequence[Span]


class LiveTable(DataTable[object]):
    """Rows by key. The cursor stays on its row while rows come and go.

    Args:
        heads: its columns.
    """

    def __init__(self, heads: Sequence[Heading], *, id: str) -> None:
        super().__init__(id=id, cursor_type="row", cell_padding=0)
        self._heads = heads
        self._rows: dict[str, Row] = {}
        self._needed: list[int] = []
        self._widths: list[int] = []

    def show(self, rows: Mapping[str, Row]) -> None:
        """Bring the table up to date."""
        needed = widths(self._heads, list(rows.values()))
        gap = 2 if sum(needed) + 2 * (len(needed) - 1) <= self.size.width else 1
        wide = [width + gap * (index + 1 < len(needed)) for index, width in enumerate(needed)]
        self._needed = needed
        same = wide == self._widths and list(rows) == list(self._rows)
        if same:
            self._update(rows)
        else:
            self._fill(rows, wide)
        self._rows = dict(rows)

    def _fill(self, rows: Mapping[str, Row], wide: list[int]) -> None:
        chosen, across = self.selected(), self.scroll_offset.x
        self.clear(columns=True)
        self._widths = wide
        for head, width in zip(self._heads, wide, strict=True):
            title = head.fit(head.title, self._needed[len(self.columns)])
            self.add_column(Text(title, style="dim"), key=head.title, width=width)
        for key, row in rows.items():
            self.add_row(*map(self._cell, row, self._heads, self._needed), key=key)
        if chosen is not None and chosen in rows:
            self.move_cursor(row=list(rows).index(chosen))
        self.scroll_x = across

    def _update(self, rows: Mapping[str, Row]) -> None:
        for key, row in rows.items():
            for old, new, head, width in zip(self._rows[key], row, self._heads, self._needed, strict=True):
                if old != new:
                    self.update_cell(key, head.title, self._cell(new, head, width))

    @staticmethod
    def _cell(span: Span, head: Heading, width: int) -> Content:
        text, tone = span
        return styled([(head.fit(text, width), tone)])

    def selected(self) -> str | None:
        """The key of the row under the cursor."""
        keys = list(self._rows)
        return keys[self.cursor_row] if 0 <= self.cursor_row < len(keys) else None
