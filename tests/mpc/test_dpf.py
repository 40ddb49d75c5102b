"""Distributed point functions: what two keys expand to, and that one key alone tells nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uniform import is_uniform

from unfed.backends.mpc.engine import dpf

WORDS = st.integers(0, 2**64 - 1)


def keys(place: list[int], payload: list[list[int]], levels: int) -> tuple[np.ndarray, np.ndarray, dpf.Correction]:
    first, second = dpf.roots(len(place)), dpf.roots(len(place))
    made = dpf.generate(np.array(place, np.uint64), np.array(payload, np.uint64), levels, first, second)
    return first, second, made


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 9), st.integers(1, 5), st.integers(1, 4))
def test_both_expansions_add_up_to_the_point(data: st.DataObject, levels: int, count: int, words: int) -> None:
    place = data.draw(st.lists(st.integers(0, 2**levels - 1), min_size=count, max_size=count))
    payload = [data.draw(st.lists(WORDS, min_size=words, max_size=words)) for _ in place]
    leaves = data.draw(st.integers(1, 2**levels))
    first, second, made = keys(place, payload, levels)
    total = dpf.expand(0, first, made, leaves) + dpf.expand(1, second, made, leaves)
    expected = np.zeros((count, leaves, words), np.uint64)
    for number, (where, what) in enumerate(zip(place, payload, strict=True)):
        if where < leaves:
            expected[number, where] = what
    assert np.array_equal(total, expected)


def test_more_keys_than_one_batch() -> None:
    place = [(7 * number) % 64 for number in range(300)]
    first, second, made = keys(place, [[number] for number in range(300)], 6)
    total = dpf.expand(0, first, made) + dpf.expand(1, second, made)
    assert all(total[number, where, 0] == number for number, where in enumerate(place))
    assert np.count_nonzero(total) == 299


@pytest.mark.parametrize("party", [0, 1])
def test_one_expansion_is_spread_over_the_ring(party: int) -> None:
    first, second, made = keys([3] * 4000, [[1]] * 4000, 4)
    mine = dpf.expand(party, (first, second)[party], made)
    for leaf in (0, 3, 15):
        assert is_uniform(mine[:, leaf, 0])


def test_the_corrections_of_different_places_look_alike() -> None:
    """What both parties hold must not tell the place: the same statistics for two places, bit by bit."""
    for part in ("seeds", "bits", "last"):
        means = []
        for place in (0, 13):
            _, _, made = keys([place] * 4000, [[1, 1 << 40]] * 4000, 4)
            raw = np.ascontiguousarray(getattr(made, part)).reshape(4000, -1).view(np.uint8)
            means.append(np.unpackbits(raw, axis=1).mean(0))
        assert np.abs(means[0] - means[1]).max() < 6 * np.sqrt(0.5 / 4000), part
