"""Products with a matrix that lasts are those of any product of integers, whatever their shapes."""

from __future__ import annotations

import pytest
import torch

from unfed.backends.mpc.engine.rows import HALF, LANES, WORD, Rows

KINDS = {HALF: torch.int32, WORD: torch.int64}


@pytest.mark.parametrize("bits", KINDS)
@pytest.mark.parametrize("vectors", [1, 2, 4, 5, 16, 17, 35])
@pytest.mark.parametrize("beyond", [-1, 0, 1, 11])
def test_products_are_those_of_any_other_way(bits: int, vectors: int, beyond: int) -> None:
    matrix = torch.randint(-(2**31) + 1, 2**31, (2500, LANES[bits] + beyond))
    shares = torch.randint(-(2**63), 2**63 - 1, (vectors, 2500)).to(KINDS[bits])
    found = Rows(matrix, bits).weighted(shares)
    assert found.dtype is KINDS[bits]
    assert torch.equal(found, (shares.long() @ matrix).to(KINDS[bits]))


@pytest.mark.parametrize("vectors", [1, 3, 16, 18])
def test_a_wide_matrix_holds_any_number(vectors: int) -> None:
    edges = torch.tensor([-(2**63), 2**63 - 1, -1, 2**31, 0])
    matrix, shares = (
        edges[torch.randint(0, 5, shape)] + torch.randint(0, 2**40, shape) for shape in ((70, 11), (vectors, 70))
    )
    assert torch.equal(Rows(matrix, wide=True).weighted(shares), shares @ matrix)


def test_a_part_of_a_larger_tensor_will_do() -> None:
    matrix, shares = torch.randint(-9, 9, (40, 8)), torch.randint(-9, 9, (60, 6)).T
    assert torch.equal(Rows(matrix).weighted(shares[:, 10:50]), shares[:, 10:50] @ matrix)


def test_numbers_that_do_not_fit_are_refused() -> None:
    Rows(torch.tensor([[-(2**31) + 1]]))
    for number in (2**31, -(2**31), -(2**63)):
        with pytest.raises(OverflowError):
            Rows(torch.tensor([[number]]))
