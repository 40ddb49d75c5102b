"""Frames: a length, a typed msgpack header, and raw tensor bytes. Nothing executable is ever decoded.

    u32 length of the rest │ u32 header length │ header │ padding to 16 │ array │ padding to 16 │ array …

Integers are little-endian. Arrays are as the header lists them and must fill the frame exactly.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import Annotated, Any, NamedTuple

import msgspec

from unfed.plugins import Array, Failure, UnfedError

from .arrays import MAX_DIMENSIONS, SIZES, as_bytes, as_tensor

MAX_FRAME = 256 << 20
MAX_HEADER = 4 << 20
LENGTH = 4
_ALIGN = 16
_PADDING = bytes(_ALIGN)

CALL, TELL, REPLY, FAULT, OPEN, ROUND, ECHO, ECHOED = range(8)
"""Kinds: a call, a message that wants no reply, a call's reply or fault, a channel's opening, a message on a channel,
an echo and its answer."""

MAX_COUNT = 1 << 48
MAX_NAME = 256
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME)]
Shape = Annotated[tuple[Annotated[int, msgspec.Meta(ge=0, le=MAX_FRAME)], ...], msgspec.Meta(max_length=MAX_DIMENSIONS)]


class Header(msgspec.Struct, array_like=True, frozen=True):
    """What stands before the arrays.

    Attributes:
        id: number of a call or an echo, repeated by its answer; on a channel the message's number.
        name: method or channel purpose.
        query: the query's id; empty outside of one and where the plan asks for private ids.
        depth: Lamport depth within the query.
        sent: when it was sent, on the host's monotonic clock; 0 where no link is emulated.
        fields: values that are no arrays. A single unnamed value is called "".
    """

    kind: Annotated[int, msgspec.Meta(ge=CALL, le=ECHOED)]
    id: Count = 0
    name: Name = ""
    query: Name = ""
    depth: Count = 0
    sent: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    fields: dict[str, Any] = {}
    arrays: tuple[tuple[str, str, Shape], ...] = ()
    failure: Failure | None = None


class Frame(NamedTuple):
    """A decoded frame. `size` counts its length prefix too; `body` is what followed that prefix."""

    header: Header
    arrays: dict[str, memoryview]
    body: memoryview
    size: int

    def values(self) -> dict[str, Any]:
        """Fields and arrays together, arrays as torch tensors that share the frame's memory."""
        values = dict(self.header.fields)
        for name, dtype, shape in self.header.arrays:
            values[name] = as_tensor(dtype, shape, self.arrays[name])
        return values

    def kept(self) -> dict[str, Array]:
        """The arrays as copies for the tape."""
        return {name: Array(dtype, shape, bytes(self.arrays[name])) for name, dtype, shape in self.header.arrays}


def _no_extension(code: int, data: memoryview) -> Any:
    raise ValueError(f"a value of the unknown type {code}")


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Header, ext_hook=_no_extension).decode


_lengths = struct.Struct("<II")


def encode(header: Header, arrays: Collection[memoryview] = ()) -> list[bytes | memoryview]:
    """Pieces that make up the frame when written one after the other.

    Args:
        arrays: bytes of the arrays that the header lists.
    Raises:
        UnfedError: the frame is larger than `MAX_FRAME`, or a field is of a type that does not travel.
    """
    if len(header.name) > MAX_NAME or len(header.query) > MAX_NAME:
        raise UnfedError(f"a name of more than {MAX_NAME} letters: {header.name[:32]!r}…", kind="role")
    try:
        head = _encode(header)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UnfedError(f"a field of {header.name!r} does not travel: {error}", kind="role") from None
    length = 4 + len(head)
    pieces: list[bytes | memoryview] = [b""]
    for array in arrays:
        if gap := -length % _ALIGN:
            pieces.append(_PADDING[:gap])
        pieces.append(array)
        length += gap + len(array)
    if length > MAX_FRAME or len(head) > MAX_HEADER:
        raise UnfedError(
            f"a message of {length} bytes is over the limit of {MAX_FRAME}", kind="protocol", hint="send it in parts"
        )
    pieces[0] = _lengths.pack(length, len(head)) + head
    return pieces


def length_of(prefix: bytes | bytearray | memoryview) -> int:
    """The length that the four bytes of `prefix` announce.

    Raises:
        ValueError: too short to hold a header, or over `MAX_FRAME`.
    """
    length = int.from_bytes(prefix, "little")
    if not 5 <= length <= MAX_FRAME:
        raise ValueError(f"a frame of {length} bytes is announced; allowed are 5 to {MAX_FRAME}")
    return length


def decode(body: bytearray | bytes | memoryview) -> Frame:
    """The frame in `body` (without its length prefix), which the frame's arrays then share.

    Raises:
        ValueError: anything that is not exactly a frame.
    """
    view = memoryview(body)
    whole = len(view)
    header_length = int.from_bytes(view[:4], "little")
    end = 4 + header_length
    if whole < 5 or header_length > MAX_HEADER or end > whole:
        raise ValueError(f"a header of {header_length} bytes in a frame of {whole}")
    try:
        header = _decode(view[4:end])
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise ValueError(f"not a header: {error}") from None
    arrays: dict[str, memoryview] = {}
    for name, dtype, shape in header.arrays:
        if (size := SIZES.get(dtype)) is None:
            raise ValueError(f"elements of unknown type {dtype[:32]!r}")
        if name in arrays or name in header.fields:
            raise ValueError(f"the name {name[:32]!r} stands twice")
        for extent in shape:
            size *= extent or 1
        if size > MAX_FRAME:  # also where an extent is 0: such a shape would overflow elsewhere
            raise ValueError(f"the array {name[:32]!r} is too large")
        start = end + -end % _ALIGN
        if view[end:start] != _PADDING[: start - end]:
            raise ValueError(f"bytes between arrays that are not zero, or missing, before {name[:32]!r}")
        end = start if 0 in shape else start + size
        if end > whole:
            raise ValueError(f"the array {name[:32]!r} reaches beyond the frame")
        arrays[name] = view[start:end]
        if dtype == "bool" and bytes(arrays[name]).translate(None, b"\0\1"):
            raise ValueError(f"the array {name[:32]!r} holds what is neither true nor false")
    if end != whole:
        raise ValueError(f"{whole - end} bytes that belong to nothing")
    return Frame(header, arrays, view, LENGTH + whole)


def pack(fields: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[str, str, tuple[int, ...]]], list[memoryview]]:
    """Fields apart from arrays: the plain values, the arrays' descriptions, the arrays' bytes."""
    plain: dict[str, Any] = {}
    about: list[tuple[str, str, tuple[int, ...]]] = []
    data: list[memoryview] = []
    for name, value in fields.items():
        if hasattr(value, "dtype") and hasattr(value, "shape"):
            dtype, shape, raw = as_bytes(value)
            about.append((name, dtype, shape))
            data.append(raw)
        else:
            plain[name] = value
    return plain, about, data
