"""The live table of parties."""

from __future__ import annotations

from collections.abc import Mapping

from ...fleet.state import PartyState
from ..figures.parties import HEADS, Key, ordered, row
from .live_table import LiveTable


class PartyTable(LiveTable):
    """One row a party, keyed `variant/party`."""

    HELP = (
        "Every party is a process of its own, the client too: the client alone is trusted and may see the prompt. "
        "CPU is of one core over the last heartbeat. PSS counts memory that processes share by share, RSS counts it in "
        "full for each. Traffic is frames on the wire without TLS overhead. × counts restarts. "
        "Below stands the way that a query takes, where its technique tells one: on each arrow the milliseconds that a "
        "message takes over that link, half of a round trip. "
        "k kills the selected process the hard way, after asking; r starts it again under a new key."
    )

    def __init__(self) -> None:
        super().__init__(HEADS, id="parties")
        self._keys: dict[str, Key] = {}

    def show_parties(self, parties: Mapping[Key, PartyState]) -> None:
        self._keys = {"/".join(key): key for key in ordered(parties)}
        self.show({name: row(parties[key]) for name, key in self._keys.items()})

    @property
    def party(self) -> Key | None:
        """The party under the cursor."""
        return self._keys.get(self.selected() or "")
