"""Megabytes of random numbers hold every short sequence: chance is not taken for a leak, nor a leak for chance."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from unfed.plugins import Array, Entry
from unfed.plugins.conformance.chance import least_bits
from unfed.plugins.conformance.haystack import Seen
from unfed.plugins.conformance.needles import Needles
from unfed.plugins.conformance.runs import Run, Runs
from unfed.plugins.conformance.search import search
from unfed.plugins.conformance.windows import Window, Windows

VOCAB = 320
CHANCE = np.random.default_rng(2**41)
PROMPTS = [CHANCE.permutation(64)[:30] + 3, *(CHANCE.permutation(250)[:30] + 3 for _ in range(3))]
"""The first holds small ids only."""
ARRAYS = [CHANCE.integers(0, 256, size=1 << 17, dtype=np.uint8) for _ in range(20)]
"""Put together in pairs they come to a hundred million bytes."""


@pytest.fixture(scope="module")
def needles() -> Needles:
    made = Needles()
    for ids in PROMPTS:
        assert made.add_ids("ids", ids.tolist(), VOCAB)
    return made


def dealt(arrays: list[np.ndarray], parties: str = "ab") -> list[Seen]:
    """Arrays as a dealer's messages to each party in turn."""
    return [
        Seen(
            parties[turn % len(parties)],
            Entry(
                kind="message",
                name="material",
                sender="dealer",
                at=float(turn),
                arrays={"common": Array(str(array.dtype), array.shape, array.tobytes())},
            ),
        )
        for turn, array in enumerate(arrays)
    ]


def planted(arrays: list[np.ndarray], values: np.ndarray, turn: int = 7, place: int = 5000) -> list[np.ndarray]:
    return [
        np.concatenate([each[:place], values.astype(each.dtype), each[place + len(values) :]]) if now == turn else each
        for now, each in enumerate(arrays)
    ]


def test_random_bytes_hold_short_windows_by_chance_and_no_finding(needles: Needles) -> None:
    short = Windows(needles.windows)
    assert any(any(short.within(one + other)) for one, other in combinations(ARRAYS, 2))  # as any few ids in a row do
    assert search(dealt(ARRAYS), needles) == []


@pytest.mark.parametrize("dtype", ["int16", "int64", "float32"])
def test_small_numbers_of_any_type_are_no_finding_either(dtype: str) -> None:
    needles = Needles()
    assert needles.add_ids("ids", PROMPTS[0].tolist(), 2048)  # of so many, three in a row are looked for
    numbers = CHANCE.integers(0, 68, size=1 << 16)
    assert any(Windows(needles.windows).within(numbers))
    assert search(dealt([numbers.astype(dtype)]), needles) == []


def test_short_runs_of_bytes_count_only_where_little_is_searched() -> None:
    run, data = Run("run", bytes(range(60, 90)), least=5), bytes(range(60, 68))
    assert list(Runs([run], places=100).within(data)) == ["run"]
    assert list(Runs([run], places=1 << 40).within(data)) == []
    assert list(Runs([run], places=1 << 40).within(data + bytes(range(68, 75)))) == ["run"]


def test_a_window_counts_by_what_the_numbers_of_the_stream_could_have_been() -> None:
    window = Window("window", np.arange(60, 90), least=3, alphabet=1000)
    places = 1 << 10  # so that 40 bits are asked for
    assert least_bits(places, 1) == 40
    assert list(Windows([window], places).within(np.arange(60, 66))) == []  # six numbers of 66: 36 bits
    assert list(Windows([window], places).within(np.append(np.arange(60, 66), 999))) == ["window"]  # of 1000: 59 bits
    assert list(Windows([window], places).within(np.arange(60, 67))) == ["window"]
    assert Windows([window], places).beyond == []
    assert Windows([window._replace(numbers=np.arange(60, 64))], places).beyond == ["window"]  # four of 1000: 39.9 bits


@pytest.mark.parametrize("prompt", range(len(PROMPTS)))
def test_ids_within_random_bytes_are_found(prompt: int, needles: Needles) -> None:
    finding, *_ = search(dealt(planted(ARRAYS[:8], PROMPTS[prompt])), needles)
    assert finding.where.startswith("'material' from dealer to b")


@pytest.mark.parametrize("dtype", ["int16", "int32", "int64", "uint64"])
def test_ids_within_random_numbers_of_any_size_are_found(dtype: str, needles: Needles) -> None:
    info = np.iinfo(dtype)
    arrays = [CHANCE.integers(info.min, info.max, size=1 << 16, dtype=dtype) for _ in range(4)]
    assert search(dealt(arrays), needles) == []
    finding, *_ = search(dealt(planted(arrays, PROMPTS[1], turn=2)), needles)
    assert finding.where.startswith("'material' from dealer to a")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "int64", "uint64"])
def test_ids_shared_over_any_ring_between_random_arrays_are_found(dtype: str, needles: Needles) -> None:
    info = np.iinfo(dtype)
    size = 1 << 15
    arrays = [CHANCE.integers(info.min, info.max, size=size, dtype=dtype) for _ in range(8)]
    shares = CHANCE.integers(info.min, info.max, size=len(PROMPTS[2]), dtype=dtype)
    with np.errstate(over="ignore"):
        rest = PROMPTS[2].astype(dtype) - shares
    both = planted(planted(arrays, shares, turn=2), rest, turn=5)
    (finding,) = search(dealt(both), needles)
    assert finding.how == "sum of two arrays"
    assert search([each for each in dealt(both) if each.party == "a"], needles) == []
