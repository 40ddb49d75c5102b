"""What a node can be held to: digests of what it received and sent in a session, under its signature.

Each link of a session has a trail of digests, which both of its ends keep. A node's statement names the heads of the
trails that end at it and of the one that starts at it, so that whoever signs after it countersigns what it sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec
import torch

from unfed.plugins import Context, UnfedError
from unfed.plugins.signatures import is_signed

PREFIX = b"unfed.backends.unfed statement/1\0"
_TRAIL = b"unfed.backends.unfed trail/1\0"


class Trail:
    """A digest of all that went over one link in one session, step by step (SHA-256).

    Args:
        session: what the session is called on this link.
        sender: whose side of it this is.
    """

    def __init__(self, session: bytes, sender: str) -> None:
        self.head = sha256(_TRAIL + session + sender.encode()).digest()
        self.steps = 0

    def add(self, start: int, data: bytes | memoryview) -> None:
        """A step, of places from `start` on."""
        made = sha256(self.head)
        made.update(start.to_bytes(8, "little"))
        made.update(data)
        self.head = made.digest()
        self.steps += 1


def head(session: bytes, sender: str, steps: Iterable[tuple[int, bytes | memoryview]]) -> bytes:
    """Of a trail that all of these went over, each a place and bytes."""
    trail = Trail(session, sender)
    for start, data in steps:
        trail.add(start, data)
    return trail.head


def raw(numbers: torch.Tensor) -> memoryview:
    """The bytes of a tensor of any type, as they lie in memory."""
    flat: Any = numbers.detach().contiguous().view(-1).view(torch.uint8).numpy()
    return memoryview(flat)


SCALE = 8
"""Bytes that tell a scale."""


def scaled(share: torch.Tensor, scale: int) -> bytes:
    """A share over Z_2^64 [t, width] as it goes into trails: its scale first, on which it hangs what it stands for."""
    return scale.to_bytes(SCALE, "little") + bytes(raw(share))


class Statement(msgspec.Struct, frozen=True, array_like=True):
    """What a node says of a session that is over.

    Attributes:
        party: who says it.
        layers: the first and the last that it ran; none at an entry that looks up alone.
        weights: digest of the tensors that it used (see `fingerprint`).
        wire: type in which hidden states leave it, or the ring of shares.
        session, after: what the session is called before and after it; at the end, the name of the reply circuit.
        came: heads of the trails that end here: of both entries' shares, of one node's rows, or of a client's keys.
        sent: head of the trail that starts here.
        exact: the same of what was sent before it was rounded to the type of the wire.
        steps: how many there were.
        release: SHA-256 of what has the node forget (`leave`), which is SHA-256 of the secret that has it open what it
            sent. The client knows both; it shows the first once nothing is to be checked, and the second for a
            decoy alone.
    """

    party: str
    layers: tuple[int, ...]
    weights: bytes
    wire: str
    session: bytes
    after: bytes
    came: tuple[bytes, ...]
    sent: bytes
    exact: bytes
    steps: int
    release: bytes


class Signed(NamedTuple):
    """A statement as it travels, and its party's signature."""

    data: bytes
    signature: bytes


def sign(ctx: Context, statement: Statement) -> Signed:
    data = _encode(statement)
    return Signed(data, ctx.sign(PREFIX + data))


def read(signed: Signed, party: str, certificate: str) -> Statement:
    """What `party` has signed.

    Raises:
        UnfedError: (`protocol`, naming it) it has not, or it is no statement of its own.
    """
    if is_signed(certificate, PREFIX + signed.data, signed.signature):
        try:
            if (statement := _decode(signed.data)).party == party:
                return statement
        except (msgspec.MsgspecError, UnicodeDecodeError):
            pass
    raise UnfedError(f"{party} has not signed what is said to be its statement", kind="protocol", party=party)


def fingerprint(tensors: dict[str, torch.Tensor]) -> bytes:
    """SHA-256 over tensors' names, types, shapes and bytes, in the order of their names."""
    made = sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        made.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        made.update(raw(tensor))
    return made.digest()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Statement).decode
