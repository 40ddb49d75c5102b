"""Circuits by themselves: what goes in comes out at the end alone, and nothing but what is due opens."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from uniform import is_uniform

from unfed.backends.unfed.circuits.hop import Seen
from unfed.backends.unfed.circuits.onion import TAG, Circuit, Hop, Keys, Unsealed, bucket, opened, padded, unpadded

quick = settings(max_examples=60, deadline=None)


class Line:
    """A circuit with all its hops."""

    def __init__(self, hops: int, told: bytes = b"told") -> None:
        self.secrets = [X25519PrivateKey.generate() for _ in range(hops)]
        path = [Hop(f"hop {at}", each.public_key().public_bytes_raw()) for at, each in enumerate(self.secrets)]
        self.circuit = Circuit(path, told)
        self.keys: list[Keys] = []
        self.next: list[str] = []
        message = self.circuit.opening
        for secret in self.secrets:
            opening, keys = opened(secret, message)
            self.keys.append(keys)
            self.next.append(opening.next)
            message = opening.data
        self.told = message

    def out(self, cell: bytes) -> bytes:
        for keys in self.keys:
            cell = keys.out.open(cell)
        return cell

    def back(self, data: bytes) -> bytes:
        for keys in reversed(self.keys):
            data = keys.back.seal(data)
        return data


@quick
@given(st.integers(1, 5), st.binary(max_size=50), st.lists(st.binary(max_size=200), max_size=5))
def test_what_goes_in_comes_out(hops: int, told: bytes, cells: list[bytes]) -> None:
    line = Line(hops, told)
    assert line.told == told and line.next == [*(f"hop {at}" for at in range(1, hops)), ""]
    for data in cells:
        sealed = line.circuit.seal(data)
        assert len(sealed) == len(data) + hops * TAG and line.out(sealed) == data
        assert line.circuit.open(line.back(data)) == data


@quick
@given(st.integers(1, 4), st.binary(min_size=1, max_size=50), st.integers(min_value=0), st.integers(1, 255))
def test_a_byte_that_was_changed_is_noticed_by_the_first_hop(hops: int, data: bytes, place: int, flip: int) -> None:
    line = Line(hops)
    cell = bytearray(line.circuit.seal(data))
    cell[place % len(cell)] ^= flip
    with pytest.raises(Unsealed):
        line.keys[0].out.open(bytes(cell))


SPOILT: dict[str, Callable[[list[bytes]], bytes]] = {
    "left out": lambda cells: cells[1],
    "cut": lambda cells: cells[0][:-1],
    "empty": lambda cells: b"",
    "longer": lambda cells: cells[0] + b"\0",
    "another circuit's": lambda cells: Line(3).circuit.seal(b"one"),
}


@pytest.mark.parametrize("how", SPOILT)
def test_nothing_but_what_is_due_opens(how: str) -> None:
    line = Line(3)
    cells = [line.circuit.seal(data) for data in (b"one", b"two")]
    with pytest.raises(Unsealed):
        line.out(SPOILT[how](cells))


def test_a_cell_opens_once_and_cells_in_their_order() -> None:
    line = Line(3)
    first, second = line.circuit.seal(b"one"), line.circuit.seal(b"two")
    assert line.out(first) == b"one"
    with pytest.raises(Unsealed):
        line.out(first)
    again = Line(3)
    first, second = again.circuit.seal(b"one"), again.circuit.seal(b"two")
    with pytest.raises(Unsealed):
        again.out(second)
    with pytest.raises(Unsealed):
        again.out(first), "a circuit that was tampered with is of no more use"


@pytest.mark.parametrize(("spoilt_after", "named"), [(2, ("hop 1", "hop 2")), (1, ("hop 0", "hop 1")), (0, ("hop 0",))])
def test_who_may_have_spoilt_what_comes_back_is_named(spoilt_after: int, named: tuple[str, ...]) -> None:
    """By the layers that are whole: hop n's is added after hop n + 1 has sent."""
    line = Line(3)
    data = b"an answer"
    for at, keys in reversed(list(enumerate(line.keys))):
        data = keys.back.seal(data)
        if at == spoilt_after:
            data = bytes([data[0] ^ 1]) + data[1:]
    with pytest.raises(Unsealed) as caught:
        line.circuit.open(data)
    assert caught.value.by == named


def test_an_opening_is_for_one_hop_and_as_it_was_made() -> None:
    line = Line(3)
    with pytest.raises(Unsealed):
        opened(line.secrets[1], line.circuit.opening)
    for at in range(0, len(line.circuit.opening), 7):
        message = bytearray(line.circuit.opening)
        message[at] ^= 1
        with pytest.raises(Unsealed):
            opened(line.secrets[0], bytes(message))


@quick
@given(st.binary(max_size=300))
def test_an_opening_of_anything_is_refused(message: bytes) -> None:
    with pytest.raises(Unsealed):
        opened(X25519PrivateKey.generate(), message)


def test_a_key_of_small_order_is_refused() -> None:
    """With which anybody knew the keys (RFC 7748, section 6.1)."""
    with pytest.raises(Unsealed):
        opened(X25519PrivateKey.generate(), bytes(32) + bytes(100))


@quick
@given(st.binary(max_size=5000))
def test_padding_comes_off_and_tells_the_bucket_alone(data: bytes) -> None:
    size = bucket(len(data))
    whole = padded(data, size)
    assert len(whole) == size and unpadded(whole) == data
    assert size == bucket(size - 4) and (size == 512 or size < 1.5 * (len(data) + 4))


@quick
@given(st.binary(max_size=20))
def test_a_padding_that_is_none_is_refused(data: bytes) -> None:
    length = int.from_bytes(data[:4], "little")
    if len(data) >= 4 and length <= len(data) - 4:
        assert unpadded(data) == data[4 : 4 + length]
    else:
        with pytest.raises(Unsealed):
            unpadded(data)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        padded(bytes(509), 512)


def test_cells_look_like_noise_to_every_hop_but_the_last() -> None:
    line = Line(3)
    seen: list[list[bytes]] = [[], []]
    for _ in range(300):
        cell = line.circuit.seal(bytes(512))
        for at in range(2):
            seen[at].append(cell[:512])
            cell = line.keys[at].out.open(cell)
        line.keys[2].out.open(cell)
    for cells in seen:
        assert is_uniform(np.frombuffer(b"".join(cells), np.uint64))
    assert not is_uniform(np.zeros(3000, np.uint64)), "or nothing would be noticed"


def test_openings_are_remembered_in_a_fixed_amount_of_memory() -> None:
    seen = Seen(4)
    names = [secrets.token_bytes(32) for _ in range(6)]
    assert all(seen.add(name) for name in names[:4])
    assert not any(seen.add(name) for name in names[:4])
    assert seen.add(names[4]) and not seen.add(names[4])
    assert seen.add(names[0]), "the oldest was given up"
    straddling = names[4][16:] + names[1][:16]
    assert seen.add(straddling)
    assert len(seen._slots) == 4 * 32
