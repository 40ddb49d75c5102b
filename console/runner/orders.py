"""What a supervisor and those attached to it say to each other: length-prefixed msgpack over a socket."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import msgspec

from unfed.plugins import Failure, Image, UnfedError

from ..fleet.state import PartyState
from ..results.record import Prompt
from .build import Wanted
from .notices import Notice
from .request import Sampling

MAX_ORDER = 64 << 20
MAX_PATH = 100
"""A socket's path must fit the system's 108 bytes."""


class RunOrder(msgspec.Struct, frozen=True, tag="run", kw_only=True):
    """Run these prompts; variants empty means all of the fleet's."""

    prompts: tuple[Prompt, ...]
    images: dict[str, Image] = {}
    refused: dict[str, Failure] = {}
    sampling: Sampling | None = None
    variants: tuple[str, ...] = ()
    timeout: float | None = None
    concurrency: int = 1
    race: bool = False


class Interrupt(msgspec.Struct, frozen=True, tag="interrupt"):
    pass


class CancelOrder(msgspec.Struct, frozen=True, tag="cancel"):
    variant: str


class StatusOrder(msgspec.Struct, frozen=True, tag="status"):
    pass


class StopOrder(msgspec.Struct, frozen=True, tag="stop"):
    pass


class Status(msgspec.Struct, frozen=True, tag="status", kw_only=True):
    """What a fleet is: its process, what it was asked to be, its variants and parties."""

    name: str
    pid: int
    wanted: Wanted
    variants: tuple[str, ...]
    parties: list[PartyState]


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    failure: Failure


FleetOrder = RunOrder | Interrupt | CancelOrder | StatusOrder | StopOrder
FleetReport = Notice | Status | Refused

decode_order = msgspec.msgpack.Decoder(FleetOrder).decode
decode_report = msgspec.msgpack.Decoder(FleetReport).decode
_encode = msgspec.msgpack.Encoder().encode


def packed(message: msgspec.Struct) -> bytes:
    data = _encode(message)
    return len(data).to_bytes(4, "little") + data


async def unpacked(reader: asyncio.StreamReader) -> bytes | None:
    """The next message's bytes; None at the end. Raises ValueError when it is larger than `MAX_ORDER`."""
    try:
        length = int.from_bytes(await reader.readexactly(4), "little")
        if length > MAX_ORDER:
            raise ValueError(f"a message of {length} bytes")
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def socket_path(folder: Path, name: str) -> Path:
    """Where the fleet called `name` listens. Raises UnfedError for a name that is none."""
    if not name or not all(character.isalnum() or character in "-_" for character in name):
        raise UnfedError(f"{name!r} cannot name a fleet", hint="use letters, digits, - and _")
    path = folder / f"{name}.sock"
    if len(os.fsencode(path)) > MAX_PATH:
        raise UnfedError(f"the path {path} is too long for a socket", hint="set UNFED_STATE_DIR to a shorter folder")
    return path
