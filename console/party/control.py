"""The control link: what the launcher tells a party, and what a party tells the launcher.

Over a socket pair each message is a four-byte little-endian length and msgpack; over stdin and stdout (`unfed-node`)
it is a line of JSON. This link is outside the threat model: it carries what its owner already knows.
"""

from __future__ import annotations

import msgspec

from unfed.plugins import Contribution, Event, Failure, PartySpec, Query, Trace


class Peer(msgspec.Struct, frozen=True):
    """A line of a roster: one peer, where it listens, the key it must prove, and whether we dial it."""

    name: str
    host: str
    port: int
    channel_port: int
    certificate: str
    dial: bool


# -- to a party


class Begin(msgspec.Struct, frozen=True, tag="begin"):
    spec: PartySpec


class Roster(msgspec.Struct, frozen=True, tag="roster"):
    """The peers this party has links with, and no others; sent again whenever one is replaced.

    Attributes:
        linked: names of all those peers in the plan's order, with those that are not there now.
        known: certificates of parties that it knows without a link, by name.
    """

    peers: tuple[Peer, ...]
    linked: tuple[str, ...]
    known: dict[str, str] = {}


class Meet(msgspec.Struct, frozen=True, tag="meet"):
    """Everybody has pinned everybody: dial the peers that are yours to dial, then start the role."""


class Gone(msgspec.Struct, frozen=True, tag="gone"):
    """This peer's process has ended: wait for no connection with it until a roster names it again."""

    party: str


class Lost(msgspec.Struct, frozen=True, tag="lost"):
    """To the client alone: a party whose loss queries survive is lost, until it is said to have returned."""

    party: str
    failure: Failure


class Returned(msgspec.Struct, frozen=True, tag="returned"):
    """To the client alone: a fresh process has taken its place and is ready."""

    party: str


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    """To the client alone."""

    query: Query


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    query: str


class Settle(msgspec.Struct, frozen=True, tag="settle"):
    """The query is over: report on it and what it adopted, and forget both."""

    query: str
    adopted: tuple[str, ...] = ()


class Count(msgspec.Struct, frozen=True, tag="count"):
    """Say what has been sent and received so far."""


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    pass


Order = Begin | Roster | Meet | Gone | Lost | Returned | Ask | Cancel | Settle | Count | Stop

# -- from a party


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """The party has made its key and listens."""

    pid: int
    certificate: str
    host: str
    port: int
    channel_port: int


class Pinned(msgspec.Struct, frozen=True, tag="pinned"):
    """The roster's keys are accepted from now on."""


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """Links are up and the role has started; `phases` are those of its setup."""

    seconds: float
    phases: dict[str, float] = {}


class Broken(msgspec.Struct, frozen=True, tag="broken"):
    """The role could not start."""

    failure: Failure


class Happened(msgspec.Struct, frozen=True, tag="happened"):
    """An event of a query; or a note of the client's that is no query's, whose `query` is empty."""

    query: str
    event: Event


class Ahead(msgspec.Struct, frozen=True, tag="ahead"):
    """Whether the client is at work ahead of queries."""

    busy: bool


class Adopted(msgspec.Struct, frozen=True, tag="adopted"):
    """What was done ahead under an id counts towards a query."""

    query: str
    id: str


class Trouble(msgspec.Struct, frozen=True, tag="trouble"):
    """A handler failed, or a peer broke the protocol; the query, where it is known, cannot be answered."""

    query: str
    failure: Failure


class Settled(msgspec.Struct, frozen=True, tag="settled"):
    query: str
    trace: Trace
    contribution: Contribution
    entries: int = 0
    tape_bytes: int = 0


class Counted(msgspec.Struct, frozen=True, tag="counted"):
    """Messages sent and taken up since the process began, and whether it is still at work on any."""

    sent: int
    received: int
    busy: bool


class Beat(msgspec.Struct, frozen=True, tag="beat"):
    """A heartbeat with this process's own figures.

    Attributes:
        round_trips: by peer that it dialled, seconds of a round trip over the link with it, the least of the last few.
    """

    cpu_seconds: float
    cpu_percent: float
    rss_bytes: int
    pss_bytes: int
    bytes_in: int
    bytes_out: int
    messages_in: int
    messages_out: int
    round_trips: dict[str, float] = {}


Report = Hello | Pinned | Ready | Broken | Happened | Ahead | Adopted | Trouble | Settled | Counted | Beat

MAX_MESSAGE = 64 << 20
BEAT = 0.5
"""Seconds between heartbeats."""

encode = msgspec.msgpack.Encoder().encode
decode_order = msgspec.msgpack.Decoder(Order).decode
decode_report = msgspec.msgpack.Decoder(Report).decode
encode_line = msgspec.json.Encoder().encode
decode_order_line = msgspec.json.Decoder(Order).decode
decode_report_line = msgspec.json.Decoder(Report).decode


def packed(message: Order | Report) -> bytes:
    """The message as it goes over a socket pair."""
    data = encode(message)
    return len(data).to_bytes(4, "little") + data
