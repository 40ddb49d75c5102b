"""Everything the screens show of a run, built from its notices alone. Pure data, no widgets."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from unfed.plugins import Image

from ..fleet.state import PartyState
from ..results.record import News, Record
from ..runner.notices import (
    Answering,
    FleetFailed,
    FleetReady,
    FleetStarting,
    Notice,
    PartyChanged,
    ResultReady,
    RunEnded,
    Told,
)
from .columns import Column, first_difference

REFERENCE = "plain"
"""The backend that fidelity is measured against."""


class Board(msgspec.Struct, kw_only=True):
    """Columns by variant in the order they are shown, parties by (variant, name), and the run in flight.

    Attributes:
        race: whether the run in flight (or the last one) started all its variants at once.
        news: what clients told that is no query's, of the fleets that are up.
        image: what was asked, where it is an image; `classes` are the names of what it may be.
        record: of the last run that ended.
    """

    columns: dict[str, Column] = {}
    parties: dict[tuple[str, str], PartyState] = {}
    news: list[News] = []
    running: bool = False
    race: bool = False
    prompt: str = ""
    image: Image | None = None
    classes: tuple[str, ...] = ()
    record: Record | None = None

    def show(self, columns: Iterable[Column]) -> None:
        """Show these columns; one that is shown already keeps what it holds, apart from its plan."""
        fresh: dict[str, Column] = {}
        for column in columns:
            old = self.columns.get(column.variant)
            if old is not None:
                old.title, old.mode, old.guarantee = column.title, column.mode, column.guarantee
                old.parties, old.problem = column.parties, column.problem
            fresh[column.variant] = old or column
        self.columns = fresh

    def begin(self, prompt_id: str, prompt: str, *, race: bool) -> None:
        """A run of one prompt starts."""
        self.running, self.race, self.prompt, self.record = True, race, prompt, None
        self.image, self.classes = None, ()
        for column in self.columns.values():
            column.clear(prompt_id)

    def end(self) -> None:
        """The run is over, however it ended: nothing is live any more."""
        self.running = False
        for column in self.columns.values():
            if column.live:
                column.stage = "cancelled" if column.prompt_id else "idle"

    def hear(self, notice: Notice, now: float) -> None:
        """Take in one notice, heard at `now` on the screen's clock."""
        match notice:
            case PartyChanged(party=party):
                self.parties[(party.variant, party.name)] = party
            case Told(news=news):
                self.news = self.news if news in self.news else [*self.news, news]
            case ResultReady(result=result):
                if (column := self.columns.get(result.variant)) is not None:
                    column.conclude(result)
            case RunEnded(record=record):
                self.record = record
                self.end()
            case FleetStarting() | FleetReady() | FleetFailed() | Answering():
                if (column := self.columns.get(notice.variant)) is not None:
                    self._tell(column, notice, now)

    @staticmethod
    def _tell(column: Column, notice: FleetStarting | FleetReady | FleetFailed | Answering, now: float) -> None:
        match notice:
            case FleetStarting():
                column.starting_since, column.setup, column.route = now, None, None
                column.stage = "starting" if column.stage in ("waiting", "ready", "idle") else column.stage
            case FleetReady(seconds=seconds):
                column.setup = seconds
                column.stage = "ready" if column.stage == "starting" and column.prompt_id else column.stage
                column.stage = "idle" if column.stage == "starting" else column.stage
            case FleetFailed(error=error):
                column.fail(error)
            case Answering(event=event, prompt_id=prompt_id):
                column.prompt_id = prompt_id
                column.hear(event, now)

    def reference(self) -> Column | None:
        """The column that the others are measured against."""
        return next((column for column in self.columns.values() if column.backend == REFERENCE), None)

    def difference(self, column: Column) -> int | None:
        """Where `column` first leaves the reference's tokens."""
        reference = self.reference()
        if reference is None or reference is column or not reference.token_ids:
            return None
        return first_difference(column.token_ids, reference.token_ids, not (column.live or reference.live))

    def sync(self, states: Iterable[PartyState], news: list[News]) -> bool:
        """Take the session's own word on its parties; those that have stopped and that it no longer has are dropped.
        Likewise on what is no query's.

        Answers whether anything is different now.
        """
        known = {(state.variant, state.name): state for state in states}
        kept = {key: party for key, party in self.parties.items() if key in known or party.health != "stopped"}
        fresh = {**kept, **known}
        different = fresh != self.parties or news != self.news
        self.parties, self.news = fresh, news
        return different
