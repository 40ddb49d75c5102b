"""The record of a run, `unfed.run/1`: a stable contract for scripts. `record.schema.json` states it."""

from __future__ import annotations

import datetime
from pathlib import PurePath
from typing import Any, Literal

import msgspec

from unfed.plugins import Claim, Failure, LinkCount, Note

SCHEMA = "unfed.run/1"


class Part(msgspec.Struct, kw_only=True):
    """Base of the record's parts."""


class ModelInfo(Part):
    name: str
    layers: int
    hidden: int
    vocab: int
    family: str = ""
    parameters: int = 0
    classes: list[str] = []


class ImageFile(msgspec.Struct, frozen=True, kw_only=True):
    """An image that was asked: where it lay, and its file's SHA-256 where it could be read."""

    path: str
    sha256: str | None = None


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt of a run, as its author wrote it (a profile's template is applied later): text, or an image."""

    id: str
    prompt: str = ""
    label: str | None = None
    image: ImageFile | None = None

    @property
    def shown(self) -> str:
        """What was asked: its text, or where its image lies."""
        return self.image.path if self.image else self.prompt

    @property
    def brief(self) -> str:
        """The same for a line: of an image just the file's name."""
        return PurePath(self.image.path).name if self.image else self.prompt


class PartyInfo(Part):
    backend: str
    variant: str
    name: str
    pid: int
    trusted: bool
    rss_bytes: int
    cpu_seconds: float
    pss_bytes: int = 0
    role: str = ""
    restarts: int = 0


class AnswerInfo(Part):
    """Of an image, `text` is the class, `token_ids` its number alone, and `scores` the logits of all classes."""

    text: str
    token_ids: list[int]
    stopped: str = "end"
    scores: list[float] = []


class Seconds(Part):
    """`setup` is the fleet's start; `first_token`, `total` and `per_token` are online only; `ahead` is offline time
    that was spent for the query before it was asked."""

    setup: float = 0.0
    offline: float = 0.0
    first_token: float = 0.0
    total: float = 0.0
    per_token: float = 0.0
    phases: dict[str, float] = {}
    ahead: float = 0.0


class Traffic(Part):
    messages: int = 0
    bytes: int = 0
    rounds: int = 0
    links: list[LinkCount] = []


class Fidelity(Part):
    """Against the reference's answer to the same prompt; figures are null with the `reason` where there is none."""

    reference: str | None = None
    token_agreement: float | None = None
    mean_kl: float | None = None
    max_logit_error: float | None = None
    margin: float | None = None
    reason: str | None = None


class Utility(Part):
    """Whether the answer's first word is the label; null where the prompt has none."""

    correct: bool | None = None


class RewardSplit(Part):
    """One scheme's shares; empty with a `reason` where the scheme failed."""

    scheme: str
    shares: dict[str, float]
    reason: str | None = None


class ViewInfo(Part):
    """Where a party's recorded View lies (with `--audit`), and how much of this query (by its id there, and by those of
    what it `adopted`) it holds."""

    party: str
    path: str
    query: str
    entries: int
    bytes: int
    adopted: list[str] = []


class AuditEntry(Part):
    """One attack on one party's view; `attack` null with a `reason` where none is available."""

    party: str
    attack: str | None = None
    token_recovery: float | None = None
    recovered: str | None = None
    reason: str | None = None


class NoteInfo(Part):
    """Something that happened on the way to the answer, such as a retry; `at` is in seconds since the query began."""

    kind: str
    text: str
    party: str | None = None
    at: float = 0.0


class News(Part):
    """Something that a client told which is no query's, such as what came of a check between two.

    Attributes:
        at: when, as ISO 8601 in UTC.
    """

    variant: str
    kind: str
    text: str
    at: str
    party: str | None = None


class Result(Part):
    """What one variant made of one prompt."""

    backend: str
    variant: str
    prompt_id: str
    mode: Literal["real", "simulated"] = "real"
    options: dict[str, Any] = {}
    status: Literal["ok", "failed", "cancelled"] = "ok"
    error: Failure | None = None
    answer: AnswerInfo | None = None
    seconds: Seconds = msgspec.field(default_factory=Seconds)
    traffic: Traffic = msgspec.field(default_factory=Traffic)
    fidelity: Fidelity = msgspec.field(default_factory=Fidelity)
    utility: Utility = msgspec.field(default_factory=Utility)
    guarantee: list[Claim] = []
    audit: list[AuditEntry] = []
    views: list[ViewInfo] = []
    rewards: list[RewardSplit] = []
    metrics: dict[str, float] = {}
    notes: list[NoteInfo] = []


class Record(Part):
    """One run: prompts × variants under a profile. `news` came during the run, or since the one before it that the same
    fleet answered."""

    run_id: str
    started: str
    profile: str | None
    schema: str = SCHEMA
    seed: int = 0
    concurrency: int = 1
    links: str | None = None
    status: Literal["complete", "interrupted", "running"] = "running"
    versions: dict[str, str] = {}
    model: ModelInfo | None = None
    settings: dict[str, Any] = {}
    prompts: list[Prompt] = []
    parties: list[PartyInfo] = []
    results: list[Result] = []
    news: list[News] = []


def noted(note: Note) -> NoteInfo:
    """What a record keeps of the event."""
    return NoteInfo(kind=note.kind, text=note.text, party=note.party or None, at=note.at)


def news(variant: str, note: Note) -> News:
    """What a record keeps of a note that is no query's and comes now."""
    return News(variant=variant, kind=note.kind, text=note.text, party=note.party or None, at=now())


def now() -> str:
    """This moment, as ISO 8601 in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def to_json(record: Record, *, indent: int = 1) -> bytes:
    """The record as UTF-8 JSON."""
    return msgspec.json.format(msgspec.json.encode(record), indent=indent) + b"\n"


def from_json(data: bytes) -> Record:
    """Raises msgspec.ValidationError where `data` is no record."""
    return msgspec.json.decode(data, type=Record)
