"""What the ends of circuits say to one another: as it was said, or refused."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unfed.backends.mpc.engine.embedding import keys, levels, look_up
from unfed.backends.mpc.engine.rows import HALF, Rows
from unfed.backends.unfed.bits import bits_of, numbers_of
from unfed.backends.unfed.circuits.cells import Done, Over, asked, done, over, read
from unfed.backends.unfed.circuits.onion import Unsealed, bucket, padded
from unfed.backends.unfed.integrity.statements import Signed
from unfed.backends.unfed.nodes.results import read_back, result, stated
from unfed.plugins import UnfedError

VOCAB = 320
DEPTH = levels(VOCAB)

quick = settings(max_examples=60, deadline=None)


@quick
@given(st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=9), st.integers(0, 1000))
def test_keys_arrive_as_they_were_sent(ids: list[int], start: int) -> None:
    for each in keys(ids, VOCAB):
        found = read(asked(start, each), VOCAB, DEPTH)
        assert not isinstance(found, Over) and found[0] == start
        assert all(bool((one == other).all()) for one, other in zip(found[1], each, strict=True))


def test_the_end_and_what_is_stated_arrive_as_they_were_sent() -> None:
    assert read(over(bytes(range(32))), VOCAB, DEPTH) == Over(bytes(range(32)))
    assert read(done(bytes(range(32))), VOCAB, DEPTH) == Done(bytes(range(32)))
    assert len(done(bytes(32))) == len(over(bytes(32)))
    said = [Signed(b"one", b"his"), Signed(b"other", b"hers")]
    assert read_back(stated(said), 8) == said


def test_cells_tell_no_more_of_a_prompt_than_a_bucket() -> None:
    sizes = {len(asked(0, keys(list(range(tokens)), VOCAB)[0])) for tokens in range(1, 20)}
    assert len(sizes) < 8 and all(size == bucket(size - 4) for size in sizes)


@quick
@given(st.binary(max_size=400))
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(Unsealed):
        read(data, VOCAB, DEPTH)
    with pytest.raises(Unsealed):
        read(padded(data, bucket(len(data))), VOCAB, DEPTH)


def test_keys_of_another_vocabulary_are_refused() -> None:
    with pytest.raises(Unsealed):
        read(asked(0, keys([1], 5000)[0]), VOCAB, DEPTH)


@quick
@given(st.integers(1, 5), st.integers(1, 40))
def test_hidden_states_arrive_as_they_were_sent(tokens: int, width: int) -> None:
    hidden = torch.randn(1, tokens, width)
    found = read_back(result(hidden), width)
    assert isinstance(found, torch.Tensor) and torch.equal(found, hidden)


@pytest.mark.parametrize(
    "data", [b"", b"123", bytes(4 * 8), b"rows" + bytes(4 * 7), b"said123", b"said\x93\x01\x02\x03"]
)
def test_what_is_neither_hidden_states_nor_statements_is_refused(data: bytes) -> None:
    with pytest.raises(Unsealed):
        read_back(padded(data, 512), 8)


@quick
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=8, max_size=8))
def test_rows_are_found_to_the_bit(numbers: list[float]) -> None:
    """Whatever floating-point numbers they hold, -0 alone becomes 0."""
    table = torch.tensor(numbers, dtype=torch.float32).reshape(4, 2)
    rows = Rows(bits_of(table), HALF)
    for token in range(4):
        first, second = (look_up(party, key, rows).to(torch.int32) for party, key in enumerate(keys([token], 4)))
        assert torch.equal(numbers_of(first + second), table[token : token + 1])


def test_shares_that_do_not_belong_together_are_no_numbers_for_long() -> None:
    with pytest.raises(UnfedError, match="do not add up"):
        numbers_of(torch.full((1, 4), 0x7FC00000, dtype=torch.int32))
