"""Distributed comparison functions: what two keys add up to, at the edges too, and that one key tells nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uniform import is_uniform

from unfed.backends.mpc.engine import dcf, dpf

WORDS = st.integers(0, 2**64 - 1)


def total(
    place: np.ndarray, payload: np.ndarray, levels: int, points: np.ndarray, base: np.ndarray | None = None
) -> np.ndarray:
    """Both parties' evaluations together."""
    first, second = dpf.roots(len(place)), dpf.roots(len(place))
    made = dcf.generate(place, payload, levels, first, second, base=base)
    return dcf.evaluate(0, first, made, points) + dcf.evaluate(1, second, made, points)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from([1, 2, 5, 16, 63, 64]), st.integers(1, 4), st.integers(1, 4))
def test_both_evaluations_add_up_to_the_comparison(data: st.DataObject, levels: int, count: int, words: int) -> None:
    domain = st.integers(0, 2**levels - 1)
    place = np.array(data.draw(st.lists(domain, min_size=count, max_size=count)), np.uint64)
    payload = np.array([data.draw(st.lists(WORDS, min_size=words, max_size=words)) for _ in place], np.uint64)
    points = np.array([data.draw(st.lists(domain, min_size=3, max_size=3)) for _ in place], np.uint64)
    points[:, 0] = place  # not below itself
    below = points < place[:, None]
    expected = np.where(below[:, :, None], payload[:, None, :], np.uint64(0))
    assert np.array_equal(total(place, payload, levels, points), expected)
    base = np.array([data.draw(st.lists(WORDS, min_size=words, max_size=words)) for _ in place], np.uint64)
    assert np.array_equal(total(place, payload, levels, points, base), expected + base[:, None, :])


@pytest.mark.parametrize("place", [0, 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_the_edges_of_the_whole_ring(place: int) -> None:
    points = np.array([[0, 1, max(place, 1) - 1, place, min(place + 1, 2**64 - 1), 2**64 - 1]], np.uint64)
    found = total(np.array([place], np.uint64), np.array([[1]], np.uint64), 64, points)
    assert found[0, :, 0].tolist() == [int(point < place) for point in points[0].tolist()]


def test_more_points_than_one_batch() -> None:
    place = np.arange(50, dtype=np.uint64)
    points = np.tile(np.arange(50, dtype=np.uint64), (50, 1))
    found = total(place, np.ones((50, 1), np.uint64), 6, points)[:, :, 0]
    assert np.array_equal(found, (points < place[:, None]).astype(np.uint64))


@pytest.mark.parametrize("party", [0, 1])
def test_one_evaluation_is_spread_over_the_ring(party: int) -> None:
    place, payload = np.full(4000, 9, np.uint64), np.ones((4000, 1), np.uint64)
    keys = dpf.roots(4000), dpf.roots(4000)
    made = dcf.generate(place, payload, 8, *keys)
    mine = dcf.evaluate(party, keys[party], made, np.tile(np.array([3, 9, 200], np.uint64), (4000, 1)))
    for point in range(3):
        assert is_uniform(mine[:, point])


@pytest.mark.parametrize("stops", [(8,), (3, 5, 6, 8)])
def test_the_corrections_of_different_places_look_alike(stops: tuple[int, ...]) -> None:
    for part in ("seeds", "bits", "values", "leaves"):
        means = []
        for place, base in ((0, 0), (201, 1)):
            keys = dpf.roots(4000), dpf.roots(4000)
            places, payload, bases = np.full(4000, place, np.uint64), np.ones((4000, 2), np.uint64), np.uint64(base)
            made = dcf.generate(places, payload, 8, *keys, stops, bases * payload)
            raw = np.ascontiguousarray(getattr(made, part)).reshape(4000, -1).view(np.uint8)
            means.append(np.unpackbits(raw, axis=1).mean(0))
        assert np.abs(means[0] - means[1]).max() < 6 * np.sqrt(0.5 / 4000), part
