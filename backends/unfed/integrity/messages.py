"""What clients and the verifier say to one another."""

from __future__ import annotations

import msgspec

from ..circuits.onion import bucket, padded
from .statements import Signed


class Write(msgspec.Struct, frozen=True, array_like=True, tag="write"):
    """Make texts: token ids that go on from `before`, of these lengths, without `never`."""

    before: tuple[int, ...]
    never: int
    lengths: tuple[int, ...]


class Check(msgspec.Struct, frozen=True, array_like=True, tag="check"):
    """Find out whether all did in a session what they state: both entries, and the nodes of `route`. `cells` is what
    each entry was asked."""

    secret: bytes
    route: tuple[str, ...]
    said: tuple[Signed, ...]
    cells: tuple[tuple[tuple[int, bytes], ...], ...]


class Verdict(msgspec.Struct, frozen=True, array_like=True):
    """`party` did `what`, as `proof` shows; or one of those `among` did, and nobody can tell which; or nobody did
    anything wrong, where all are empty.

    Without either of them, `what` says why it could not be found out.
    """

    party: str = ""
    what: str = ""
    proof: bytes = b""
    among: tuple[str, ...] = ()


_encode = msgspec.msgpack.Encoder().encode
decode_asked = msgspec.msgpack.Decoder(Write | Check).decode
decode_written = msgspec.msgpack.Decoder(list[list[int]]).decode
decode_verdict = msgspec.msgpack.Decoder(Verdict).decode


def encode_cell(told: Write | Check | Verdict | list[list[int]]) -> bytes:
    """At the length of a bucket."""
    data = _encode(told)
    return padded(data, bucket(len(data)))
