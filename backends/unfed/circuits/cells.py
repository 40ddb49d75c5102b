"""What the client and the ends of its circuits say to one another, and entries to the first of the layers."""

from __future__ import annotations

from math import prod
from typing import Any

import msgspec
import numpy as np
import torch

from ...mpc.engine.embedding import Keys, fits
from .onion import Unsealed, bucket, padded, unpadded


class ToEntry(msgspec.Struct, frozen=True, array_like=True):
    """Told to an entry node when its circuit is opened.

    Attributes:
        session: what both entries call the session to the first of the layers, which puts their shares together by it.
        reply: names the reply circuit at the last of the layers; handed on by all of them.
        route: the nodes that run the layers, first to last; each is told those after it.
    """

    session: bytes
    reply: bytes
    route: tuple[str, ...]


class Asked(msgspec.Struct, frozen=True, array_like=True, tag="ask"):
    """Tokens to be looked up, at the places from `start` on: `Keys` of their one-hot rows, as bytes."""

    start: int
    tokens: int
    parts: tuple[bytes, ...]


class Over(msgspec.Struct, frozen=True, array_like=True, tag="over"):
    """Nothing more is asked: what was done is to be stated. `release` as in a `Statement`."""

    release: bytes


KINDS = (torch.int64, torch.int64, torch.uint8, torch.int64)
"""Types of the parts of `Keys`."""


class Done(msgspec.Struct, frozen=True, array_like=True, tag="done"):
    """What was stated can be forgotten. `leave` as in a `Statement`."""

    leave: bytes


def asked(start: int, keys: Keys) -> bytes:
    """As it goes into a cell, at the length of a bucket."""
    parts = tuple(part.numpy().tobytes() for part in keys)
    return _sized(_encode(Asked(start, len(keys.root), parts)))


def over(release: bytes) -> bytes:
    """As it goes into a cell."""
    return _sized(_encode(Over(release)))


def done(leave: bytes) -> bytes:
    """As it goes into a cell."""
    return _sized(_encode(Done(leave)))


def read(data: bytes, vocab: int, levels: int) -> tuple[int, Keys] | Over | Done:
    """The place of the first token, and the keys; or that it is over, or can be forgotten.

    Raises:
        Unsealed: it is anything else.
    """
    try:
        told = _decode(unpadded(data))
    except msgspec.MsgspecError:
        raise Unsealed("a cell that asks for nothing") from None
    if isinstance(told, Over | Done):
        return told
    tokens = told.tokens
    shapes = ((tokens, 2), (tokens, levels, 2), (tokens, levels), (tokens, 2))
    sizes = [prod(shape) * kind.itemsize for shape, kind in zip(shapes, KINDS, strict=True)]
    if tokens < 1 or told.start < 0 or [len(part) for part in told.parts] != sizes:
        raise Unsealed("a cell whose keys have other sizes than they should")
    parts = (
        torch.from_numpy(np.frombuffer(part, _NUMPY[kind]).reshape(shape).copy())
        for part, shape, kind in zip(told.parts, shapes, KINDS, strict=True)
    )
    keys = Keys(*parts)
    if not fits(keys, vocab):
        raise Unsealed("a cell whose keys do not fit the vocabulary")
    return told.start, keys


def read_keys(data: bytes, vocab: int, levels: int) -> tuple[int, Keys]:
    """Likewise, where keys are due. Raises Unsealed for anything else."""
    if isinstance(found := read(data, vocab, levels), Over | Done):
        raise Unsealed("a cell without keys")
    return found


def _sized(data: bytes) -> bytes:
    return padded(data, bucket(len(data)))


_NUMPY: dict[torch.dtype, Any] = {torch.int64: np.dtype("<i8"), torch.uint8: np.dtype("u1")}
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Asked | Over | Done).decode
encode_told = _encode
decode_told = msgspec.msgpack.Decoder(ToEntry).decode
