"""Fleet: the live table of parties, the ways of queries through them, and the log of the one under the cursor."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from textual import on, work
from textual.widget import Widget
from textual.widgets import DataTable, Static

from ..actions import bindings
from ..figures.latency import links
from ..figures.parties import Key, about, ordered, summary
from ..figures.routes import routes
from ..figures.text import Line
from ..palette import Entry
from ..widgets.lines import Lines, content
from ..widgets.log_pane import LogPane
from ..widgets.party_table import PartyTable
from .confirm import Confirm
from .page import Page

HIGH = 32
"""From this height on, there is room for more notes."""
NOTES, FEW_NOTES = 5, 2


class FleetScreen(Page):
    """Watch parties, kill them, start them again."""

    mode = "fleet"
    period = 0.25
    BINDINGS = bindings("fleet")

    _log_of: Key | None = None

    def body(self) -> Iterable[Widget]:
        yield Lines(id="fleet-summary")
        yield PartyTable()
        yield Lines(id="fleet-routes")
        yield Static(id="no-fleet", markup=False)
        yield LogPane()

    def paint(self) -> None:
        parties = self.unfed.board.parties
        empty = not parties
        table = self.query_one(PartyTable)
        if table.display == empty:
            table.display = not empty
            self.call_after_refresh(table.focus)
        self.query_one(LogPane).display = not empty
        self.query_one("#no-fleet").display = empty
        ways = self.query_one("#fleet-routes", Lines)
        told = routes(self.unfed.board, self.size.width - 2, NOTES if self.size.height >= HIGH else FEW_NOTES)
        ways.display = bool(told)
        ways.show(told)
        table.set_class(bool(told), "-with-routes")  # so that the log keeps its place
        self.query_one("#fleet-summary", Lines).show([tuple(summary(parties.values()))])
        if empty:
            self._teach()
        else:
            table.show_parties(parties)

    def _teach(self) -> None:
        start, compare = self.unfed.keys_of("fleet.start"), self.unfed.keys_of("app.compare")
        who = ", ".join(self.unfed.choice.backends) or "the chosen backends"
        lines: list[Line] = [
            (("No party is running.", "strong"),),
            ((f"{start} starts the fleets of {who}", "accent"),),
            ((f"{compare} goes to Compare, where a prompt starts them by itself", "dim"),),
        ]
        self.query_one("#no-fleet", Static).update(content(lines))

    # the log

    @on(DataTable.RowHighlighted)
    def _moved(self) -> None:
        if self.query_one(PartyTable).party != self._log_of:
            self._read_log()

    def _look(self) -> None:
        """Between notices: the session's own word, all of which is shown here, and the log."""
        if self.is_current and self.unfed.sync():
            self.unfed.changed()
        self._read_log()

    def _read_log(self) -> None:
        if self.is_current and (key := self.query_one(PartyTable).party) is not None:
            self._tail(key)

    @work(thread=True, exclusive=True, group="log", exit_on_error=False)
    def _tail(self, key: Key) -> None:
        try:
            lines = self.unfed.session.log_tail(*key)
        except Exception as error:
            lines = [f"the log cannot be read: {error}"]
        self.app.call_from_thread(self._show_log, key, lines)

    def _show_log(self, key: Key, lines: list[str]) -> None:
        parties = self.unfed.board.parties
        if (party := parties.get(key)) is not None:
            self._log_of = key
            self.query_one(LogPane).show(about(party, links(parties, party)), lines)

    # keys

    def action_kill(self) -> None:
        if (key := self.query_one(PartyTable).party) is not None:
            self._ask_kill(key)

    @work(exit_on_error=False)
    async def _ask_kill(self, key: Key) -> None:
        party = self.unfed.board.parties[key]
        sure = await self.app.push_screen_wait(
            Confirm(
                f"Kill {key[0]}/{key[1]}?",
                f"Process {party.pid} is killed at once (kill -9). A query in flight on {key[0]} ends with this party "
                f"named, unless its plan restarts it.",
                yes="Kill",
            )
        )
        if sure:
            self.unfed.tell_party("kill", key)

    def action_restart(self) -> None:
        if (key := self.query_one(PartyTable).party) is not None:
            self.unfed.tell_party("restart", key)

    def action_start(self) -> None:
        self.unfed.start_fleets()

    def palette(self) -> Iterable[Entry]:
        for key in ordered(self.unfed.board.parties):
            name = "/".join(key)
            again = partial(self.unfed.tell_party, "restart", key)
            yield Entry(f"{name}: Kill", "Kill this process, after asking.", partial(self._ask_kill, key))
            yield Entry(f"{name}: Restart", "Start it again under a new key.", again)
