"""What the client and the entries say to one another where these run layers too.

On either entry's circuit cells alternate: the client has a step prepared, the entry says that it is, the client sends
keys (`cells.asked`), the entry sends its share of how many guards fell. Where a step could come, it may be over.
"""

from __future__ import annotations

import msgspec

from ..circuits.cells import Done, Over, ToEntry
from ..circuits.onion import Unsealed, bucket, padded, unpadded


class ToNode(ToEntry, frozen=True, array_like=True):
    """Told to an entry when its circuit is opened.

    Attributes:
        peer: what the entries call the session between them.
        material: what both call it to the dealer.
    """

    peer: bytes
    material: bytes


class Step(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="step"):
    """A step to be prepared: of `tokens` rows after `start` others."""

    start: int
    tokens: int


PREPARED = b""
"""An entry's word that a step is prepared."""
GUARD = 8
"""Bytes of its share of how many guards fell."""


def step(start: int, tokens: int) -> bytes:
    """As it goes into a cell, at the length of a bucket."""
    return _sized(_encode(Step(start, tokens)))


def read_step(data: bytes) -> Step | Over | Done:
    """What comes in the place of a step to be prepared: one, or that it is over, or can be forgotten.

    Raises:
        Unsealed: it is anything else.
    """
    try:
        found: Step | Over | Done = _decode_step(unpadded(data))
    except msgspec.MsgspecError:
        raise Unsealed("a cell that prepares nothing") from None
    if isinstance(found, Over | Done):
        return found
    if found.start < 0 or found.tokens < 1:
        raise Unsealed("a cell that prepares what cannot be")
    return found


def prepared() -> bytes:
    return _sized(PREPARED)


def guard(share: int) -> bytes:
    """`share` is over Z_2^64, as a signed number."""
    return _sized(share.to_bytes(GUARD, "little", signed=True))


def read_prepared(data: bytes) -> None:
    """Raises Unsealed for anything else."""
    if unpadded(data) != PREPARED:
        raise Unsealed("a cell that should say that a step is prepared")


def read_guard(data: bytes) -> int:
    """Raises Unsealed for what is no share."""
    if len(found := unpadded(data)) != GUARD:
        raise Unsealed("a cell that holds no share of guards")
    return int.from_bytes(found, "little", signed=True)


def _sized(data: bytes) -> bytes:
    return padded(data, bucket(len(data)))


_encode = msgspec.msgpack.Encoder().encode
_decode_step = msgspec.msgpack.Decoder(Step | Over | Done).decode
decode_told = msgspec.msgpack.Decoder(ToNode).decode
