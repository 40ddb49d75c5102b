"""What runs inside a party: a Role, and `ctx`, all that a role knows of the world."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from .errors import Failure
from .models import ModelCard
from .query import Answer, Metric, Note, PhaseKind, Query, Route, Token

Handler = TypeVar("Handler", bound=Callable[..., Any])

Fields = Mapping[str, Any]
"""Named values of a message: None, bool, int, float, str, bytes, lists and dicts of these, and tensors.

Tensors are sent from torch or numpy and always arrive as torch tensors on the CPU.
"""


def serve(handler: Handler) -> Handler:
    """Mark `async def handler(self, sender, *, field: type, ...)` as one that linked peers may call by its name.

    Fields are checked against the signature before the handler runs; a message that does not fit is refused and its
    sender named. What it returns (a field value, or a mapping of them) is what `ctx.call` returns on the other side.
    """
    handler.__unfed_serves__ = True  # type: ignore[attr-defined]
    return handler


class Channel(Protocol):
    """A blocking connection to one peer for protocol rounds, owned by one thread. Fields as in `Fields`.

    Every method raises `UnfedError` naming the peer when it is lost, breaks the protocol, or lets `timeout` (seconds)
    pass. Messages count towards `query`: that of the task which opened it, until its owner sets another.
    """

    query: str

    def send(self, **fields: Any) -> None: ...

    def recv(self, timeout: float | None = None) -> dict[str, Any]: ...

    def exchange(self, timeout: float | None = None, **fields: Any) -> dict[str, Any]:
        """Send and receive at once, full duplex: both sides may send any size without deadlock. One round."""
        ...

    def close(self) -> None: ...


class Model(Protocol):
    """The part of a model that this party may open."""

    @property
    def card(self) -> ModelCard: ...

    @property
    def opens(self) -> tuple[str, ...]: ...

    @property
    def folder(self) -> Path:
        """Where config and tokenizer lie. Weights are read through `tensors` alone."""
        ...

    def tensors(self, *names: str) -> dict[str, Any]:
        """The named tensors (all that the party may open when none is named), as stored: torch, on the CPU.

        Only these bytes are read from the files. Raises `UnfedError` for a tensor outside `opens`.
        """
        ...


class Context(Protocol):
    """What the host gives a role."""

    @property
    def name(self) -> str: ...

    @property
    def peers(self) -> tuple[str, ...]:
        """Processes this party shares a link with, in the plan's order."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]: ...

    @property
    def model(self) -> Model:
        """The model in the slot `model`."""
        ...

    @property
    def models(self) -> Mapping[str, Model]:
        """Every model this party may open any part of, by slot (`slot[i]` where a slot takes many)."""
        ...

    @property
    def query(self) -> str:
        """Id of the query that the current task works on; empty outside of one."""
        ...

    async def call(self, peer: str, method: str, /, **fields: Any) -> Any:
        """Ask `peer` and wait for its reply. Raises `UnfedError` naming the party that failed."""
        ...

    async def send(self, peer: str, method: str, /, **fields: Any) -> None:
        """Tell `peer`, waiting for nothing but room to send. Messages to one peer arrive in order.

        A handler that fails ends the query, with that party named.
        """
        ...

    def sign(self, data: bytes, /) -> bytes:
        """This party's signature of `data`: 64 bytes, which `signatures.is_signed` checks against its certificate."""
        ...

    def certificate(self, party: str, /) -> str:
        """The certificate (PEM) of this party itself, of a peer, or of one that the plan says it knows.

        Raises `UnfedError` for any other.
        """
        ...

    def channel(self, peer: str, purpose: str = "rounds", /) -> Channel:
        """The blocking connection with `peer` for `purpose`; both sides ask for it, from the thread that owns it."""
        ...

    def phase(self, name: str, kind: PhaseKind = "online", /) -> AbstractContextManager[None]:
        """Time a phase. `offline` time (waiting for correlated randomness included) is kept apart from online time."""
        ...

    def ahead(self, id: str, /) -> AbstractContextManager[None]:
        """Work for no query yet, at any party's: what it takes is kept under `id` (unique, such as a random one) as it
        is under a query's, and is given to whichever query the client `adopt`s it for. Peers see it as `ctx.query`.
        """
        ...

    def adopt(self, id: str, /) -> None:
        """At the client: what was done ahead under `id` counts towards the current query, and is forgotten with it."""
        ...

    async def rehearse(self, query: Query, /) -> None:
        """At the client: have a query of the role's own making answered as if it had been asked. The same work is done
        and the same events are sent, which nobody takes up: so its times tell no peer that nobody asked it.

        The query's id must be fresh and random. Whatever the answer raises is known to the role alone, and logged where
        it is no `UnfedError`.
        """
        ...

    def tell(self, note: Note, /) -> None:
        """At the client, at any time: something happened that is no query's, such as what came of a check between two.

        It is shown at once, and stands in the record of the run that goes on, or of the next one.
        """
        ...

    def contribute(self, **amounts: float) -> None:
        """Add to what this party did for the current query, for reward schemes (`layer_tokens`, …)."""
        ...

    def hold(self, name: str, /, **fields: Any) -> None:
        """Put something this party came to hold besides messages on the tape. Free when the run is not audited."""
        ...


class Role:
    """Base of every role. Roles are made once per party; queries may overlap, so keep their state by `ctx.query`."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    async def start(self) -> None:
        """Load what is needed; links are up already. Counts as setup."""

    async def stop(self) -> None:
        """The fleet is going down."""

    async def gone(self, peer: str) -> None:
        """A peer's process has ended: what was kept for its sake can go. A fresh one, if any, knows nothing of it."""

    async def forget(self, query: str) -> None:
        """A query ended, however it ended: drop what was kept for it. Called for what it adopted, too."""


class ClientRole(Role):
    """The role of the party `client`."""

    def answer(self, query: Query) -> AsyncIterator[Token | Metric | Note | Route | Answer]:
        """Yield tokens as they come, the `Answer` last, and in between what else should be known.

        Cancelled by an ordinary task cancellation.

        Raises:
            UnfedError: the query cannot be served (`kind="bad-input"` where the prompt is to blame).
        """
        raise NotImplementedError(f"{type(self).__name__} does not answer queries")

    async def ahead(self) -> float | None:
        """Do what can be done before anybody asks, under ids of `ctx.ahead`; and return, for runs wait for it.

        Called once the fleet is up, and whenever no query is in flight any more; cancelled when the next one comes. An
        error is logged and no query's: the next one finds out for itself.

        Returns:
            Seconds after which it is to be called again, if nobody has asked by then.
        """
        return None

    def lost(self, party: str, failure: Failure) -> None:
        """The process `party`, whose loss the plan calls survivable, has ended or is stopped, and what it held is gone.

        Called once, on the event loop, in the middle of queries: take note, wake whoever waits for that party, and
        return. Calls to it fail from now on with a `party-lost` naming it, until the links of a fresh process are up,
        a moment before it has `returned`. Other parties may learn of the loss a moment earlier or later, and what was
        on its way to or from it is lost without a word. An error raised here fails every query.
        """

    def returned(self, party: str) -> None:
        """A fresh process has taken the place of `party`: ready, linked, under a new key (`ctx.certificate`), and
        knowing nothing of the queries in flight. Called as `lost` is; never where the party is not replaced."""
