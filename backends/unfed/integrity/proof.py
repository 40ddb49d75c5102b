"""Proof that a node did not do what it signed: its own statement, what it was given, and what it made of that.

Anybody who has the model can check one, offline: see `audit.Judge`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import msgspec
import torch

from unfed.plugins import UnfedError

from .statements import SCALE, Signed, Statement, raw, read, scaled


class Rows(NamedTuple):
    """One step: rows [t, width], and the place of the first."""

    start: int
    rows: torch.Tensor


class Step(msgspec.Struct, frozen=True, array_like=True):
    """`Rows`, or what an entry was asked (of which `rows` and `dtype` say nothing), as they are written down.

    Of shares over Z_2^64 `data` begins with their scale, as in the trail that they are in.
    """

    start: Annotated[int, msgspec.Meta(ge=0, lt=2**62)]
    rows: int
    dtype: str
    data: bytes


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What anybody needs to see for themselves, but for the model.

    Attributes:
        party, certificate: whose statement it is, and what its signature is checked with (PEM).
        model: the name of the model.
        senders: whose links `inputs` came over, in the statement's order.
        inputs: by sender: both entries' shares of rows or of hidden states, hidden states as they travelled, or a
            client's keys.
        outputs: what the node opened: hidden states before they were rounded to the type of the wire. Of an entry none
            are needed.
    """

    schema: Literal["unfed.proof/1"] = "unfed.proof/1"
    backend: Literal["unfed"] = "unfed"
    party: str
    certificate: str
    model: str
    statement: bytes
    signature: bytes
    senders: tuple[str, ...]
    inputs: tuple[tuple[Step, ...], ...]
    outputs: tuple[Step, ...] = ()

    def said(self) -> Statement:
        """The party's statement. Raises UnfedError where it did not sign it."""
        return read(Signed(self.statement, self.signature), self.party, self.certificate)


def steps_of(rows: Sequence[Rows]) -> tuple[Step, ...]:
    return tuple(Step(start, len(each), _name(each.dtype), bytes(raw(each))) for start, each in rows)


def rows_of(steps: Sequence[Step]) -> list[Rows]:
    """Raises UnfedError for what is no rows of numbers."""
    found = []
    for step in steps:
        kind = _TYPES.get(step.dtype)
        if kind is None or step.rows < 1 or not step.data or len(step.data) % (step.rows * kind.itemsize):
            raise UnfedError("the proof holds what are no rows of numbers", kind="bad-input")
        found.append(Rows(step.start, torch.frombuffer(bytearray(step.data), dtype=kind).reshape(step.rows, -1)))
    return found


def shares_of(steps: Sequence[Step]) -> tuple[list[Rows], list[int]]:
    """Shares over Z_2^64, int64, and the scale of each step. Raises UnfedError likewise."""
    found = rows_of([msgspec.structs.replace(step, data=step.data[SCALE:]) for step in steps])
    return found, [int.from_bytes(step.data[:SCALE], "little") for step in steps]


def steps_of_shares(shares: Sequence[Rows], scale: int) -> tuple[Step, ...]:
    return tuple(Step(start, len(each), _name(each.dtype), scaled(each, scale)) for start, each in shares)


def encode(proof: Proof) -> bytes:
    """As JSON, of which bytes are base64."""
    return msgspec.json.format(msgspec.json.encode(proof), indent=1) + b"\n"


def decode(data: bytes) -> Proof:
    """Raises UnfedError (`bad-input`) for what is no proof."""
    try:
        return msgspec.json.decode(data, type=Proof)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnfedError(f"this is no proof: {error}", kind="bad-input") from None


def _name(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")


_TYPES = {_name(kind): kind for kind in (torch.float32, torch.float16, torch.bfloat16, torch.int32, torch.int64)}
