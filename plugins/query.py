"""A query, its answer, and the events between them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from .errors import Failure
from .image import Image

PhaseKind = Literal["setup", "offline", "online"]


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt for one variant: text, or an image. Only the client party ever holds it.

    Attributes:
        id: opaque; it stands in frame headers unless the plan asks for `private_ids`.
        prompt: empty where there is an image, which is answered by one token: its class.
        logits: whether the client should report the logits of each step, for fidelity; an image's are the scores of the
            classes.
    """

    id: str
    prompt: str = ""
    image: Image | None = None
    max_new_tokens: int = 32
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    logits: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the client read. `token_ids` is all that was generated, an end token included."""

    text: str
    token_ids: tuple[int, ...] = ()
    stopped: Literal["end", "length", "context"] = "end"


class Token(msgspec.Struct, frozen=True, kw_only=True, tag="token"):
    """One generated token. `text` is what it adds to the answer (may be empty); `logits` is float32 little-endian.

    Of an image, `id` is the class, `text` the class's name, and `logits` are the scores of all classes.

    `at` is in seconds since the query began, offline time taken out; the host fills it in.
    """

    id: int
    text: str
    logits: bytes | None = None
    at: float = 0.0


class Metric(msgspec.Struct, frozen=True, kw_only=True, tag="metric"):
    """A figure that a role wants shown, such as a noise budget."""

    name: str
    value: float
    unit: str = ""
    party: str = ""


class Note(msgspec.Struct, frozen=True, kw_only=True, tag="note"):
    """Something that happened on the way to the answer and should be known, such as a retry; or between two queries
    (`ctx.tell`).

    Attributes:
        kind: what it was, in a word: `retry`, `check`; `caught` says that `party` did not do its work, which earns it
            nothing.
        text: one short sentence without secrets: it stands in records and on screens.
        party: whom it is about, if anybody.
        at: seconds since the query began, offline time taken out; the host fills it in. 0 where it is no query's.
    """

    kind: str
    text: str
    party: str = ""
    at: float = 0.0


class Route(msgspec.Struct, frozen=True, kw_only=True, tag="route"):
    """The way that the query takes through the fleet, from now on.

    Attributes:
        steps: in the order of the way, from the client and back to it, which is not named, the processes of each step;
            those of one step work side by side. None is empty.
        seconds: what a token takes over the whole way, as measured so far; None where nothing was measured yet.
    """

    steps: Annotated[tuple[Annotated[tuple[str, ...], msgspec.Meta(min_length=1)], ...], msgspec.Meta(min_length=1)]
    seconds: Annotated[float, msgspec.Meta(ge=0)] | None = None


class Started(msgspec.Struct, frozen=True, kw_only=True, tag="started"):
    """The client took the query up."""


class Phase(msgspec.Struct, frozen=True, kw_only=True, tag="phase"):
    """A phase began (`seconds` is None) or ended."""

    name: str
    kind: PhaseKind = "online"
    seconds: float | None = None
    party: str = ""


class Finished(msgspec.Struct, frozen=True, kw_only=True, tag="finished"):
    """The answer is whole. Seconds are those of the client's clock.

    `first_token` and `total` are online only: time in `offline` phases is taken out. `ahead` is what was spent in such
    phases on what the query adopted, before it was asked.
    """

    answer: Answer
    total: float
    first_token: float
    offline: float
    ahead: float = 0.0
    phases: dict[str, float] = {}


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """The query ended without an answer."""

    error: Failure


Event = Started | Phase | Token | Metric | Note | Route | Finished | Failed


class LinkCount(msgspec.Struct, frozen=True, kw_only=True):
    """Messages and bytes (frames, TLS overhead excluded) that one party sent to another."""

    source: str = msgspec.field(name="from")
    target: str = msgspec.field(name="to")
    messages: int = 0
    bytes: int = 0


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """What one query cost on the wire.

    `rounds` is the longest chain of messages each sent after the one before it had arrived (Lamport depth):
    what multiplies with a link's latency.
    """

    links: tuple[LinkCount, ...] = ()
    rounds: int = 0

    @property
    def messages(self) -> int:
        return sum(link.messages for link in self.links)

    @property
    def bytes(self) -> int:
        return sum(link.bytes for link in self.links)


class Contribution(msgspec.Struct, frozen=True, kw_only=True):
    """What one party says it did for a query, by named amounts (`layer_tokens`: layers × tokens served)."""

    party: str
    amounts: dict[str, float] = {}


Json = dict[str, Any]
