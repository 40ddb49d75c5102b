"""What client and entries say to one another where entries run layers: as it was said, or refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unfed.backends.mpc.engine.embedding import keys
from unfed.backends.unfed.circuits.cells import asked, encode_told
from unfed.backends.unfed.circuits.onion import Unsealed, padded
from unfed.backends.unfed.mpc_layers.cells import (
    Step,
    ToNode,
    decode_told,
    guard,
    prepared,
    read_guard,
    read_prepared,
    read_step,
    step,
)

quick = settings(max_examples=60, deadline=None)


@quick
@given(st.integers(0, 1 << 40), st.integers(1, 1 << 40))
def test_steps_arrive_as_they_were_sent_and_look_alike(start: int, tokens: int) -> None:
    assert read_step(step(start, tokens)) == Step(start, tokens)
    assert len(step(start, tokens)) == len(prepared()) == len(guard(0)) == 512


@quick
@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_shares_of_guards_arrive_as_they_were_sent(share: int) -> None:
    assert read_guard(guard(share)) == share


def test_what_an_entry_is_told_arrives() -> None:
    told = ToNode(b"session", b"reply", ("layers-0",), b"peer", b"material")
    assert decode_told(encode_told(told)) == told


def test_one_is_not_taken_for_the_other() -> None:
    read_prepared(prepared())
    with pytest.raises(Unsealed, match="a step is prepared"):
        read_prepared(guard(0))
    with pytest.raises(Unsealed, match="no share of guards"):
        read_guard(prepared())
    with pytest.raises(Unsealed, match="prepares nothing"):
        read_step(asked(0, keys([1, 2], 320)[0]))


@pytest.mark.parametrize(("start", "tokens"), [(-1, 2), (0, 0), (3, -1)])
def test_steps_that_cannot_be_are_refused(start: int, tokens: int) -> None:
    with pytest.raises(Unsealed, match="cannot be"):
        read_step(step(start, tokens))


@quick
@given(st.binary(max_size=200))
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(Unsealed):
        read_step(padded(b"\xc1" + data, 512))
