"""What a run tells whoever watches it: a screen, a command line, or nobody."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from unfed.plugins import Event, Failure

from ..fleet.state import PartyState
from ..results.record import News, Record, Result


class FleetStarting(msgspec.Struct, frozen=True, tag=True):
    variant: str


class FleetReady(msgspec.Struct, frozen=True, tag=True):
    variant: str
    seconds: float


class FleetFailed(msgspec.Struct, frozen=True, tag=True):
    variant: str
    error: Failure


class PartyChanged(msgspec.Struct, frozen=True, tag=True):
    """A party started, beat its heart, was lost, …; `party` is a copy that may be kept."""

    party: PartyState


class Answering(msgspec.Struct, frozen=True, tag=True):
    """An event of one query. `prompt_id` is the prompt's."""

    variant: str
    prompt_id: str
    event: Event


class Told(msgspec.Struct, frozen=True, tag=True):
    """A client told something that is no query's."""

    news: News


class ResultReady(msgspec.Struct, frozen=True, tag=True):
    """A result is whole and scored; it stands in the record from now on."""

    result: Result


class RunBegan(msgspec.Struct, frozen=True, tag=True):
    """A run begins; `record` is what is known of it by now, without results."""

    record: Record


class RunEnded(msgspec.Struct, frozen=True, tag=True):
    record: Record


Notice = FleetStarting | FleetReady | FleetFailed | PartyChanged | Answering | Told | RunBegan | ResultReady | RunEnded
Watcher = Callable[[Notice], None]
