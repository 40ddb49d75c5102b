"""Shapes without content become what torch makes of tensors of these shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unfed.backends.mpc.engine.blank import Blank, blank

OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "add": lambda x: x + torch.ones(1, x.shape[1], 1),
    "scalar": lambda x: 3 - x * 2,
    "right": lambda x: torch.ones(x.shape[-1]) * x - torch.ones(()),
    "shift": lambda x: x << 3,
    "negative": lambda x: -x,
    "matmul": lambda x: x @ torch.ones(x.shape[-1], 5, dtype=torch.int64),
    "batched": lambda x: x @ x.transpose(-1, -2),
    "from the left": lambda x: torch.ones(4, x.shape[1], dtype=torch.int64) @ x,
    "one by one": lambda x: (x[:, None] @ torch.ones(x.shape[-1], 2, dtype=torch.int64))[:, 0],
    "reshape": lambda x: x.reshape(x.shape[0], -1),
    "reshape to a tuple": lambda x: x.reshape((-1,)),
    "permute": lambda x: x.permute(2, 0, 1),
    "transpose": lambda x: x.transpose(0, 1),
    "diagonal": lambda x: x.diagonal(dim1=-2, dim2=-1),
    "index": lambda x: x[..., 1:],
    "half": lambda x: x[-1:, :, : x.shape[2] // 2],
    "sum": lambda x: x.sum(),
    "sum of the last": lambda x: x.sum(-1),
    "kept": lambda x: x.sum(-1, keepdim=True),
    "kept in the middle": lambda x: x.sum(1, keepdim=True),
    "expand": lambda x: x[:1].expand(3, *x.shape[1:]),
    "split": lambda x: torch.split(x, [1, x.shape[-1] - 1], -1)[1],
    "cat": lambda x: torch.cat([x, x], 1),
    "stack": lambda x: torch.stack([x, x]),
}


@pytest.mark.parametrize("name", OPERATIONS)
@given(st.tuples(*[st.integers(1, 5)] * 3))
def test_a_blank_takes_the_shape_that_a_tensor_would(name: str, shape: tuple[int, ...]) -> None:
    operation = OPERATIONS[name]
    found = operation(blank(*shape))
    assert isinstance(found, Blank)
    assert found.shape == operation(torch.zeros(shape, dtype=torch.int64)).shape


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: x @ torch.ones(3, 3),
        lambda x: x + torch.ones(5),
        lambda x: x.reshape(7),
        lambda x: torch.split(x, [1, 1], -1),
    ],
)
def test_what_does_not_fit_is_refused(wrong: Callable[[Any], Any]) -> None:
    with pytest.raises(ValueError):
        wrong(blank(2, 4))


def test_what_it_does_not_know_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="exp"):
        torch.exp(blank(2))
