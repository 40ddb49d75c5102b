"""The largest of shared numbers and its place, against plain arithmetic: at the edges of the range, and with ties."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from machine import reveal, run

from unfed.backends.mpc.engine import cost
from unfed.backends.mpc.engine.gates import Choose, Width
from unfed.backends.mpc.engine.gates.compare import WHOLE
from unfed.backends.mpc.engine.tournament import argmax, largest

EDGE = 2**62
HELD = st.sampled_from([-EDGE, EDGE - 1, 0, -1, 1]) | st.integers(-EDGE, EDGE - 1)  # differences may not wrap
quick = settings(max_examples=40, deadline=None)


def found(values: list[list[int]], width: Width = WHOLE) -> tuple[list[int], list[int]]:
    """Largest and place of each row, as the protocol finds them."""
    results, _ = run(lambda run, x: argmax(run, x, width), torch.tensor(values))
    larger, place = (one + other for one, other in zip(*results, strict=True))
    assert larger.shape == place.shape == (len(values), 1)
    return larger[:, 0].tolist(), place[:, 0].tolist()


@quick
@given(st.data(), st.integers(1, 9), st.integers(1, 3))
def test_the_largest_and_the_first_of_its_places(data: st.DataObject, count: int, rows: int) -> None:
    few = data.draw(st.lists(HELD, min_size=1, max_size=3))  # of which many will be as large
    each = st.lists(st.sampled_from(few) | HELD, min_size=count, max_size=count)
    values = data.draw(st.lists(each, min_size=rows, max_size=rows))
    assert found(values) == ([max(row) for row in values], [row.index(max(row)) for row in values])
    assert reveal(largest, torch.tensor(values))[:, 0].tolist() == [max(row) for row in values]


@pytest.mark.parametrize("count", range(1, 10))
def test_of_equals_the_first(count: int) -> None:
    rows = [[each] * count for each in (-EDGE, 0, EDGE - 1)]
    assert found(rows) == ([-EDGE, 0, EDGE - 1], [0, 0, 0])
    lasts = [[5] * (count - at) + [6] * at for at in range(1, count + 1)]
    assert found(lasts)[1] == [count - at for at in range(1, count + 1)]


@quick
@given(st.lists(st.integers(-(2**20), 2**20 - 1), min_size=1, max_size=9))
def test_a_proved_range_needs_fewer_bits(values: list[int]) -> None:
    assert found([values], Width(range=22)) == ([max(values)], [values.index(max(values))])


@quick
@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=17))
def test_what_is_found_coarsely_lies_no_further_below_than_promised(values: list[int]) -> None:
    rounds = (len(values) - 1).bit_length()
    (larger,), (place,) = found([values], Width(drop=6))
    assert values[place] == larger > max(values) - 64 * rounds


@quick
@given(st.lists(st.tuples(HELD | st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1)), min_size=1))
def test_a_choice_takes_what_belongs_to_it(pairs: list[tuple[int, int]]) -> None:
    x, y = torch.tensor(pairs).T
    results, _ = run(lambda run, *shares: run.apply(Choose(), *run.open(*shares)), x, y)
    larger, chosen = (one + other for one, other in zip(*results, strict=True))
    assert torch.equal(larger, x.clamp(min=0)) and torch.equal(chosen, torch.where(x < 0, y, 0))


@pytest.mark.parametrize("tournament", [largest, argmax])
@pytest.mark.parametrize("count", [1, 2, 3, 8, 9, 320])
def test_it_takes_a_round_for_each_doubling(tournament: Any, count: int) -> None:
    predicted = cost.predict(tournament, (2, count))
    _, nodes = run(tournament, torch.arange(2 * count).reshape(2, count))
    assert all((node.rounds, node.sent) == (predicted.rounds, predicted.sent) for node in nodes)
    assert predicted.rounds == (count - 1).bit_length()
    opened, bit = (8, 33) if tournament is largest else (16, 41)
    assert predicted.sent == 2 * (count - 1) * opened
    assert predicted.common == 2 * (count - 1) * (64 * bit - 17)
