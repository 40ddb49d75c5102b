"""Circuits: layers of authenticated encryption between the client and each hop of a path, and nothing else.

A circuit is opened by one message: for each hop an ephemeral X25519 key of the client's (RFC 7748) and, under the keys
that follow from it and the hop's own by HKDF-SHA256 (RFC 5869), what the hop is told and the message for the next one.
From then on each cell takes symmetric work alone: a hop removes a layer of AES-256-GCM on the way out and adds one on
the way back. Each key is used for one cell and replaced by HMAC-SHA256, as in the symmetric ratchet of Signal's Double
Ratchet (Perrin and Marlinspike 2016, section 2.2). So a cell that is repeated, left out, moved, cut or changed does not
open, and keys that are taken later open nothing that went before.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

INFO = b"unfed.backends.unfed.onion/1"
TAG, KEY = 16, 32
"""Bytes of a layer's authentication tag, and of a key."""
_ONCE = bytes(12)
"""The nonce: every key seals one message."""


class Unsealed(Exception):
    """A cell or opening that is not what was sealed, or not the one that is due.

    Attributes:
        by: at the client, whose doing it is: that of one of these.
    """

    by: tuple[str, ...] = ()


class Chain:
    """Keys for the cells of one hop in one direction, in their order."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._ready: AESGCM | None = None

    def prepare(self) -> None:
        """Make the key of the next cell while nobody waits for it."""
        if self._ready is None:
            self._ready = AESGCM(self._next())

    def seal(self, data: bytes) -> bytes:
        """The next cell with a layer around it: `TAG` bytes more."""
        return self._take().encrypt(_ONCE, data, None)

    def open(self, data: bytes) -> bytes:
        """The next cell without its layer. Raises Unsealed, after which nothing opens any more."""
        try:
            return self._take().decrypt(_ONCE, data, None)
        except InvalidTag:
            raise Unsealed("a cell that does not open") from None

    def _take(self) -> AESGCM:
        cipher, self._ready = self._ready or AESGCM(self._next()), None
        return cipher

    def _next(self) -> bytes:
        used = hmac.digest(self._key, b"\x01", "sha256")
        self._key = hmac.digest(self._key, b"\x02", "sha256")
        return used


class Keys(NamedTuple):
    """What the client and one hop share: a key for the opening, and a chain for each way."""

    opening: bytes
    out: Chain
    back: Chain


class Opening(msgspec.Struct, frozen=True, array_like=True):
    """What one hop is told: who is next, if anybody, and what to hand on or, at the last one, what is for itself."""

    next: str
    data: bytes


class Hop(NamedTuple):
    """A hop as the client knows it: its name and its public key, X25519, 32 bytes."""

    name: str
    public: bytes


def opened(secret: X25519PrivateKey, message: bytes) -> tuple[Opening, Keys]:
    """At a hop: what it is told, and the keys of the circuit. Raises Unsealed for anything not meant for it."""
    ephemeral, sealed = message[:KEY], message[KEY:]
    public = secret.public_key().public_bytes_raw()
    try:
        keys = _keys(secret.exchange(X25519PublicKey.from_public_bytes(ephemeral)), ephemeral, public)
        return _decode(AESGCM(keys.opening).decrypt(_ONCE, sealed, ephemeral)), keys
    except (ValueError, InvalidTag, msgspec.MsgspecError):
        raise Unsealed("an opening that is not for this hop") from None


class Circuit:
    """The client's end.

    Args:
        path: the hops, first to last; links of the plan join each with the next.
        told: what is for the last one, with the opening.
    Attributes:
        opening: the message for the first hop.
    """

    def __init__(self, path: Sequence[Hop], told: bytes) -> None:
        self._names = [hop.name for hop in path]
        self._keys: list[Keys] = []
        following, data = "", told
        for hop in reversed(path):
            secret = X25519PrivateKey.generate()
            ephemeral = secret.public_key().public_bytes_raw()
            keys = _keys(secret.exchange(X25519PublicKey.from_public_bytes(hop.public)), ephemeral, hop.public)
            sealed = AESGCM(keys.opening).encrypt(_ONCE, _encode(Opening(following, data)), ephemeral)
            following, data = hop.name, ephemeral + sealed
            self._keys.insert(0, keys)
        self.opening = data

    def prepare(self) -> None:
        """See `Chain.prepare`."""
        for keys in self._keys:
            keys.out.prepare()
            keys.back.prepare()

    def seal(self, data: bytes) -> bytes:
        """The next cell for the last hop, as it goes to the first one: `TAG` bytes more for each hop."""
        for keys in reversed(self._keys):
            data = keys.out.seal(data)
        return data

    def open(self, data: bytes) -> bytes:
        """What the last hop sealed, from what the first one sent. Raises Unsealed.

        What does not open was spoilt by the hop whose layer it is, or before the hop before that added its own.
        """
        for number, keys in enumerate(self._keys):
            try:
                data = keys.back.open(data)
            except Unsealed as error:
                error.by = tuple(self._names[max(number - 1, 0) : number + 1])
                raise
        return data


def padded(data: bytes, bucket: int) -> bytes:
    """`data` at the length `bucket`, of which 4 bytes tell its own length. Raises ValueError where it does not fit."""
    if len(data) + 4 > bucket:
        raise ValueError(f"{len(data)} bytes do not fit into a bucket of {bucket}")
    return len(data).to_bytes(4, "little") + data + bytes(bucket - 4 - len(data))


def unpadded(data: bytes) -> bytes:
    """What was padded. Raises Unsealed where it cannot have been."""
    length = int.from_bytes(data[:4], "little")
    if len(data) < 4 or length > len(data) - 4:
        raise Unsealed("a padding that is none")
    return data[4 : 4 + length]


def bucket(size: int) -> int:
    """The length that `size` bytes are padded to: a power of two or the middle between two, of 512 bytes at least."""
    power = max(512, 1 << (size + 3).bit_length())
    between = power * 3 // 4
    return between if between > 512 and size + 4 <= between else power


def new_secret() -> X25519PrivateKey:
    return X25519PrivateKey.generate()


def new_id() -> bytes:
    """A name for a circuit on one link, or for a session: 16 bytes that nobody can guess."""
    return secrets.token_bytes(16)


def _keys(shared: bytes, ephemeral: bytes, public: bytes) -> Keys:
    derived: Any = HKDF(SHA256(), 3 * KEY, ephemeral + public, INFO).derive(shared)
    return Keys(derived[:KEY], Chain(derived[KEY : 2 * KEY]), Chain(derived[2 * KEY :]))


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Opening).decode
