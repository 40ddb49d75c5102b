"""Every protocol against plain arithmetic, at the edges of its range too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from machine import reveal, run
from uniform import is_uniform

from unfed.backends.mpc.engine import ring
from unfed.backends.mpc.engine.gates import (
    AtLeast,
    Below,
    MatMul,
    Outside,
    Product,
    Relu,
    Spline,
    SquareSum,
    Table,
    Through,
    Truncate,
    Width,
)
from unfed.backends.mpc.engine.gates.spline import relative
from unfed.backends.mpc.engine.gates.table import bins

ANY = st.integers(-(2**63), 2**63 - 1)
SMALL = st.integers(-(2**62) + 1, 2**62 - 1)
LISTS = {"any": st.lists(ANY, min_size=1, max_size=6), "small": st.lists(SMALL, min_size=1, max_size=6)}
quick = settings(max_examples=40, deadline=None)


def ints(values: list[int]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int64)


def opened(gate: Any) -> Any:
    """The program that opens its inputs in one round and applies `gate`."""
    return lambda run, *shares: run.apply(gate, *run.open(*shares))


def truncated(bits: int, gate: Any) -> Any:
    """The same with inputs that were truncated first, whose masks have two parts."""
    return lambda run, *shares: run.apply(gate, *(run.apply(Truncate(bits), wire) for wire in run.open(*shares)))


@quick
@given(st.lists(st.tuples(ANY, ANY), min_size=1, max_size=6))
def test_products_wrap_as_the_ring_does(pairs: list[tuple[int, int]]) -> None:
    a, b = ints([a for a, _ in pairs]), ints([b for _, b in pairs])
    assert torch.equal(reveal(opened(Product()), a, b), a * b)


@quick
@given(LISTS["any"])
def test_sums_of_squares(values: list[int]) -> None:
    x = ints(values)
    assert torch.equal(reveal(opened(SquareSum()), x[None]), (x * x).sum()[None, None])


def test_matrix_products_in_batches() -> None:
    a, b = ring.uniform(3, 4, 5), ring.uniform(3, 5, 2)
    assert torch.equal(reveal(opened(MatMul()), a, b), a @ b)


def through(run: Any, matrix: torch.Tensor, *shares: torch.Tensor) -> Any:
    """The program that opens a matrix once, and each of the others for a product with it."""
    gate = Through.of(run, *run.open(matrix))
    return torch.cat([run.apply(gate, *run.open(share)) for share in shares])


@quick
@given(st.data(), st.integers(1, 4), st.integers(1, 4), st.lists(st.integers(1, 3), min_size=1, max_size=3))
def test_products_with_a_matrix_that_lasts(data: st.DataObject, inner: int, outer: int, rows: list[int]) -> None:
    edges = st.one_of(ANY, st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63)]))

    def drawn(*shape: int) -> torch.Tensor:
        count = shape[0] * shape[1]
        return ints(data.draw(st.lists(edges, min_size=count, max_size=count))).reshape(shape)

    matrix, factors = drawn(inner, outer), [drawn(count, inner) for count in rows]
    assert torch.equal(reveal(through, matrix, *factors), torch.cat([each @ matrix for each in factors]))


def test_a_matrix_that_lasts_is_opened_once_and_shares_of_products_tell_nothing() -> None:
    zeros = torch.zeros(64, 64, dtype=torch.int64)
    opened: list[torch.Tensor] = []

    def program(run: Any, matrix: torch.Tensor, *shares: torch.Tensor) -> Any:
        (wire,) = run.open(matrix)
        if isinstance(wire.value, torch.Tensor):
            opened.append(wire.value)
        gate = Through.of(run, wire)
        return torch.cat([run.apply(gate, *run.open(share)) for share in shares])

    results, (first, _) = run(program, zeros, zeros, zeros)
    assert first.sent == 8 * 3 * 64 * 64
    for seen in (opened[0], *results):
        assert is_uniform(seen.numpy())


def test_a_matrix_that_lasts_multiplies_what_was_freshly_opened() -> None:
    def program(run: Any, matrix: torch.Tensor, share: torch.Tensor) -> Any:
        gate = Through.of(run, *run.open(matrix))
        return run.apply(gate, run.apply(Truncate(3), *run.open(share)))

    with pytest.raises(ValueError, match="freshly opened"):
        reveal(program, ring.uniform(2, 2), ring.uniform(1, 2) >> 4)


@quick
@given(LISTS["small"], st.integers(1, 60))
def test_truncation_is_exact_to_one_step(values: list[int], bits: int) -> None:
    results, _ = run(opened(Truncate(bits)), ints(values))
    found = (results[0].share(0) + results[1].share(1)).tolist()
    for value, each in zip(values, found, strict=True):
        assert each - (value >> bits) in (0, 1)


def test_truncation_errs_with_mean_zero() -> None:
    results, _ = run(opened(Truncate(8)), torch.full((20000,), 77 * 256 + 64))
    mean = (results[0].share(0) + results[1].share(1)).double().mean().item()
    assert abs(mean - 77.25) < 0.02


@quick
@given(st.lists(st.tuples(st.integers(-(2**50), 2**50), st.integers(-(2**50), 2**50)), min_size=1, max_size=5))
def test_products_of_truncated_wires(pairs: list[tuple[int, int]]) -> None:
    a, b = ints([a for a, _ in pairs]), ints([b for _, b in pairs])
    found = reveal(truncated(20, Product()), a, b).tolist()
    for (x, y), each in zip(pairs, found, strict=True):
        assert any(each == ((x >> 20) + i) * ((y >> 20) + j) for i in (0, 1) for j in (0, 1))


@quick
@given(st.lists(st.integers(-(2**45), 2**45), min_size=1, max_size=4), st.sampled_from([16, 40]))
def test_sums_of_squares_of_truncated_wires(values: list[int], bits: int) -> None:
    found = int(reveal(truncated(bits, SquareSum()), ints(values)[None]))
    steps = range(2 ** len(values))
    assert any(found == sum(((x >> bits) + (s >> i & 1)) ** 2 for i, x in enumerate(values)) for s in steps)


@quick
@given(LISTS["any"], ANY)
def test_below_a_bound(values: list[int], bound: int) -> None:
    assert reveal(opened(Below(bound)), ints([*values, bound])).tolist() == [int(x < bound) for x in [*values, bound]]


@quick
@given(LISTS["any"])
def test_outside_of_bounds(values: list[int]) -> None:
    gate = Outside(-(2**55), 2**54, Width(drop=48))
    values += [-(2**55), -(2**55) - 1, 2**54, 2**54 - 2**48 - 1, 0, 2**63 - 1, -(2**63)]
    for value, found in zip(values, reveal(opened(gate), ints(values)).tolist(), strict=True):
        if not any(bound - 2**48 <= value < bound for bound in (-(2**55), 2**54)):  # which may count as either
            assert found == int(not -(2**55) <= value < 2**54), value


@quick
@given(LISTS["any"])
def test_relu(values: list[int]) -> None:
    edges = [*values, 0, 1, -1, 2**63 - 1, -(2**63)]
    assert reveal(opened(Relu()), ints(edges)).tolist() == [max(x, 0) for x in edges]


@quick
@given(st.lists(st.integers(-(2**40) + 1, 2**40 - 1), min_size=1, max_size=6), st.integers(-(2**39), 2**39))
def test_comparisons_within_a_proved_range(values: list[int], bound: int) -> None:
    values += [bound, bound - 1, 2**40 - 1, -(2**40)]
    found = reveal(opened(AtLeast(bound, Width(range=41))), ints(values))
    assert found.tolist() == [max(value, bound) for value in values]
    assert reveal(opened(Below(bound, Width(41))), ints(values)).tolist() == [int(value < bound) for value in values]
    assert reveal(opened(Relu(Width(range=41))), ints(values)).tolist() == [max(value, 0) for value in values]


@pytest.mark.parametrize("width", [Width(range=2), Width(range=64, drop=62), Width(range=9, drop=7)])
def test_signs_of_two_bits(width: Width) -> None:
    step = 1 << width.drop
    values = [-step, -step, 0, 0] * 200  # all that two bits hold, under many masks
    assert reveal(opened(Relu(width)), ints(values)).tolist() == [max(value, 0) for value in values]


@quick
@given(LISTS["small"])
def test_coarse_comparisons_leave_what_lies_just_below(values: list[int]) -> None:
    values += [0, -1, -(2**20), -(2**20) - 1]
    for value, found in zip(values, reveal(opened(Relu(Width(drop=20))), ints(values)).tolist(), strict=True):
        assert found == max(value, 0) or (-(2**20) <= value < 0 and found == value)


def root(x: np.ndarray) -> np.ndarray:
    return 1 / np.sqrt(x)


ROOT = relative(root, 2**30, 2**50, 16)


def test_an_approximation_tells_its_error() -> None:
    assert ROOT.error < 3e-4
    assert relative(root, 2**30, 2**32, 64).error < ROOT.error
    with pytest.raises(ValueError, match="too wide"):
        relative(root, 2**14, 2**60, 16)


def splined(values: list[int]) -> tuple[np.ndarray, list[int]]:
    results, _ = run(opened(Spline(ROOT)), ints(values))
    found, outside = (a + b for a, b in zip(*results, strict=True))
    return ring.decode(found, ROOT.scale).numpy(), outside.tolist()


@quick
@given(st.lists(st.integers(2**30, 2**50), min_size=1, max_size=6))
def test_a_spline_keeps_its_relative_error(values: list[int]) -> None:
    values += [2**30, 2**50]
    found, outside = splined(values)
    assert np.abs(found / root(np.array(values, float)) - 1).max() <= ROOT.error + 2.0**-13
    assert not any(outside)


def test_a_spline_is_zero_outside_and_says_so() -> None:
    found, outside = splined([0, 2**29, 2**51, 2**62, -5, 2**40])
    assert outside == [1, 1, 1, 1, 1, 0]
    assert not found[:5].any() and found[5]


SILUS = {
    degree: bins(lambda x: x / (1 + np.exp(-x)), 20, 25, bits, 44, degree=degree)
    for degree, bits in ((1, 10), (2, 8), (3, 7))
}
SILU = SILUS[3]


@pytest.mark.parametrize("degree", SILUS)
@quick
@given(st.lists(st.integers(-(2**24), 2**24), min_size=1, max_size=6))
def test_a_table_keeps_its_error(degree: int, values: list[int]) -> None:
    silu = SILUS[degree]
    assert silu.error < 3e-4
    last = 2**24 - 2 ** (25 - silu.bits) - 1  # below the last bin
    values = [min(value, last) for value in values] + [-(2**24), last, 0, -1]
    found = ring.decode(reveal(opened(Table(silu)), ints(values)), 44).numpy()
    x = np.array(values) * 2.0**-20
    step = 2.0 ** (25 - silu.bits - silu.fine - 20)  # of the argument, below which it is dropped
    assert np.abs(found - x / (1 + np.exp(-x))).max() <= silu.error + 2.5 * step


def test_a_coarse_table_drops_nothing() -> None:
    few = bins(lambda x: 3 * x + 1, 0, 8, 4, 20)
    x = torch.arange(-128, 128 - 16)
    assert np.abs(ring.decode(reveal(opened(Table(few)), x), 20).numpy() - (3 * x.numpy() + 1)).max() < 1e-2


@pytest.mark.parametrize("gate", [Truncate(12), Relu(), Below(5), Table(SILU), Spline(ROOT), SquareSum()])
@pytest.mark.parametrize("secret", [0, 2**30, -(2**40)])
def test_what_a_node_sees_is_spread_over_the_ring(gate: Any, secret: int) -> None:
    """All that arrives in a run are opened values: uniform, whatever the secret."""
    seen: list[torch.Tensor] = []

    def program(run: Any, share: torch.Tensor) -> Any:
        (wire,) = run.open(share)
        if isinstance(wire.value, torch.Tensor):
            seen.append(wire.value)
        return run.apply(gate, wire)

    results, _ = run(program, torch.full((2000, 1), secret))
    assert is_uniform(seen[0].numpy())
    for result in results:
        if not isinstance(
            gate, Truncate
        ):  # whose result is a wire: its value was seen to be uniform, and its shares tell less
            assert is_uniform((result[0] if isinstance(gate, Spline) else result).numpy()), (
                "a share alone must tell nothing"
            )


def test_rounds_and_bytes_are_counted() -> None:
    _, (first, second) = run(lambda run, a, b: [run.open(a, b), run.open(a)], ring.uniform(3, 4), ring.uniform(5))
    assert (first.rounds, first.sent) == (second.rounds, second.sent) == (2, 8 * (12 + 5 + 12))


def test_wires_that_do_not_fit_are_refused() -> None:
    for gate in (Truncate(3), Relu(), Table(SILU)):
        with pytest.raises(ValueError, match="freshly opened"):
            reveal(truncated(4, gate), ints([1, 2]))
    with pytest.raises(ValueError, match="afresh"):
        reveal(truncated(4, MatMul()), ring.uniform(2, 2) >> 4, ring.uniform(2, 2) >> 4)
