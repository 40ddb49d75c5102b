"""The live table of parties; only cells that changed are drawn again."""

from __future__ import annotations

from collections.abc import Mapping

from textual.widgets import DataTable

from ...fleet.state import PartyState
from ..figures.parties import HEADS, Key, ordered, row
from ..figures.text import Span
from .lines import cell, head


class PartyTable(DataTable[object]):
    """One row a party, keyed `variant/party`."""

    HELP = (
        "Every party is a process of its own, the client too: the client alone is trusted and may see the prompt. "
        "CPU is of one core over the last heartbeat. PSS counts memory that processes share by share, RSS counts it in "
        "full for each. Traffic is frames on the wire without TLS overhead. × counts restarts. "
        "k kills the selected process the hard way, after asking; r starts it again under a new key."
    )

    def __init__(self) -> None:
        super().__init__(id="parties", cursor_type="row", zebra_stripes=False, cell_padding=1)
        self._rows: dict[Key, tuple[Span, ...]] = {}

    def on_mount(self) -> None:
        for title, width, number in HEADS:
            self.add_column(head(title, width, number), key=title)

    def show(self, parties: Mapping[Key, PartyState]) -> None:
        """Bring the table up to date; a changed set of parties keeps the cursor on the same party."""
        keys = ordered(parties)
        if keys != list(self._rows):
            chosen = self.selected()
            self.clear()
            self._rows = {}
            for key in keys:
                self._rows[key] = row(parties[key])
                self.add_row(*map(cell, self._rows[key], HEADS), key="/".join(key))
            if chosen in self._rows:
                self.move_cursor(row=keys.index(chosen))
            return
        for key in keys:
            fresh = row(parties[key])
            for old, new, column in zip(self._rows[key], fresh, HEADS, strict=True):
                if old != new:
                    self.update_cell("/".join(key), column[0], cell(new, column), update_width=True)
            self._rows[key] = fresh

    def selected(self) -> Key | None:
        """The party under the cursor."""
        keys = list(self._rows)
        return keys[self.cursor_row] if 0 <= self.cursor_row < len(keys) else None
