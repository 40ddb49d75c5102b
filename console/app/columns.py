"""One variant's column while a prompt runs: what the notices said so far. Pure data; screens draw it."""

from __future__ import annotations

from typing import Literal

import msgspec

from unfed.plugins import (
    CLIENT,
    Answer,
    Claim,
    Event,
    Failed,
    Failure,
    Finished,
    LinkCount,
    Note,
    Phase,
    Route,
    Started,
    Token,
)

from ..results.record import NoteInfo, Result, Seconds, noted

Stage = Literal["idle", "waiting", "starting", "ready", "answering", "done", "failed", "cancelled"]
LIVE: tuple[Stage, ...] = ("waiting", "starting", "ready", "answering")
"""Stages of a column whose result is still to come."""


class Piece(msgspec.Struct, frozen=True):
    """One generated token and what it added to the answer."""

    id: int
    text: str
    at: float


class Column(msgspec.Struct, kw_only=True):
    """What is known of one variant. Times of its own are on the clock of whoever calls `hear`.

    Attributes:
        parties: names of the processes its plan asks for.
        problem: why it has no plan, where it has none.
        setup: seconds its fleet took to start.
        open: kind and start of the phases that the client is in, by name.
        route: the way that the query takes, where its client told one.
        notes: what happened on the way to the answer, as far as is known.
    """

    variant: str
    backend: str
    title: str
    mode: Literal["real", "simulated"] = "real"
    guarantee: tuple[Claim, ...] = ()
    parties: tuple[str, ...] = ()
    problem: Failure | None = None
    stage: Stage = "idle"
    prompt_id: str = ""
    pieces: list[Piece] = []
    answer: Answer | None = None
    result: Result | None = None
    error: Failure | None = None
    setup: float | None = None
    starting_since: float | None = None
    started_at: float | None = None
    offline: float = 0.0
    open: dict[str, tuple[str, float]] = {}
    route: Route | None = None
    notes: list[NoteInfo] = []

    @property
    def live(self) -> bool:
        return self.stage in LIVE

    @property
    def token_ids(self) -> list[int]:
        """What was generated, as far as is known."""
        if self.result is not None and self.result.answer is not None:
            return self.result.answer.token_ids
        return [piece.id for piece in self.pieces]

    @property
    def links(self) -> list[LinkCount]:
        return self.result.traffic.links if self.result is not None else []

    def clear(self, prompt_id: str) -> None:
        """Make room for the next prompt; what is known of the fleet stays."""
        self.stage, self.prompt_id = "waiting", prompt_id
        self.pieces, self.open, self.notes = [], {}, []
        self.answer = self.result = self.error = self.route = None
        self.starting_since = self.started_at = None
        self.offline = 0.0

    def hear(self, event: Event, now: float) -> None:
        """Take in one event of the query in flight."""
        match event:
            case Started():
                self.stage, self.started_at = "answering", now
            case Token():
                self.stage = "answering"
                self.pieces.append(Piece(event.id, event.text, event.at))
            case Phase() if event.party not in ("", CLIENT):
                pass  # the nodes' phases lie within the client's: they are shown with the result
            case Phase(seconds=None):
                self.open[event.name] = (event.kind, now)
            case Phase():
                kind, _ = self.open.pop(event.name, (event.kind, now))
                if kind == "offline":
                    self.offline += event.seconds or 0.0
            case Note():
                self.notes.append(noted(event))
            case Route():
                self.route = event
            case Finished():
                self.answer = event.answer
                self.open = {}
            case Failed():
                self.fail(event.error)
            case _:  # metrics are shown with the result
                pass

    def fail(self, error: Failure) -> None:
        self.stage = "cancelled" if error.kind == "cancelled" else "failed"
        self.error, self.open = error, {}

    def conclude(self, result: Result) -> None:
        """Its result is whole: from now on the result speaks."""
        self.result, self.error, self.open = result, result.error, {}
        self.notes = result.notes
        self.stage = "done" if result.status == "ok" else result.status
        self.setup = result.seconds.setup or self.setup

    def seconds(self, now: float) -> Seconds:
        """Times so far; the result's own once there is one."""
        if self.result is not None and self.result.status == "ok":
            return self.result.seconds
        setup = self.setup or (now - self.starting_since if self.starting_since is not None and self.live else 0.0)
        if self.started_at is None:
            return Seconds(setup=setup)
        running = sum(now - since for kind, since in self.open.values() if kind == "offline")
        offline = self.offline + running
        total = max(0.0, now - self.started_at - offline) if self.live else (self.pieces[-1].at if self.pieces else 0.0)
        first = self.pieces[0].at if self.pieces else 0.0
        steps = len(self.pieces) - 1
        rate = (self.pieces[-1].at - first) / steps if steps > 0 else 0.0
        return Seconds(setup=setup, offline=offline, first_token=first, total=total, per_token=rate)


def first_difference(ids: list[int], reference: list[int], done: bool) -> int | None:
    """Index of the first token that is not the reference's; None where there is none (yet).

    Args:
        done: whether both are whole, so that a different length is a difference too.
    """
    for index, (mine, theirs) in enumerate(zip(ids, reference, strict=False)):
        if mine != theirs:
            return index
    return min(len(ids), len(reference)) if done and len(ids) != len(reference) else None
