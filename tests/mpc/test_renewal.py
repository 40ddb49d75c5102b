"""Inputs that their owner opens, and what public linear maps make of them: no round, and nothing told."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from machine import reveal, run
from uniform import is_uniform

from unfed.backends.mpc.engine import cost, ring
from unfed.backends.mpc.engine.blank import blank
from unfed.backends.mpc.engine.gates import Relu, Truncate
from unfed.backends.mpc.engine.material import Deal, Draw, InputOwner
from unfed.backends.mpc.engine.session import Computing, Dealing, Preparing

ANY = st.one_of(st.integers(-(2**63), 2**63 - 1), st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63)]))


def layer(matrix: torch.Tensor, bias: torch.Tensor | None = None) -> Any:
    """The program max(x @ matrix + bias, 0) of a given x."""
    return lambda run, x: run.apply(Relu(), run.renew(run.given(x), lambda part: part @ matrix, bias))


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))
def test_a_layer_on_what_is_given(data: st.DataObject, rows: int, inner: int, outer: int) -> None:
    def drawn(*shape: int) -> torch.Tensor:
        count = shape[0] * shape[1]
        return torch.tensor(data.draw(st.lists(ANY, min_size=count, max_size=count))).reshape(shape)

    x, matrix, bias = drawn(rows, inner), drawn(inner, outer), drawn(1, outer)
    assert torch.equal(reveal(layer(matrix), given=[x]), (x @ matrix).clamp(min=0))
    assert torch.equal(reveal(layer(matrix, bias), given=[x]), (x @ matrix + bias).clamp(min=0))


def test_two_layers_meet_in_one_round_ahead_and_none_later() -> None:
    def program(run: Any, x: torch.Tensor, y: torch.Tensor) -> Any:
        return layer(first)(run, x) + layer(second)(run, y)

    first, second, x, y = ring.uniform(3, 2), ring.uniform(5, 2), ring.uniform(4, 3), ring.uniform(4, 5)
    results, nodes = run(program, given=[x, y])
    assert torch.equal(results[0] + results[1], (x @ first).clamp(min=0) + (y @ second).clamp(min=0))
    predicted = cost.predict(program, (4, 3), (4, 5))
    assert predicted == (0, 0, 2 * 8 * (33 * 64 - 17), 0, 2 * 8 * 8)
    assert all((node.rounds, node.sent, node.sent_ahead) == (0, 0, predicted.ahead) for node in nodes)


@pytest.mark.parametrize("value", [0, -(2**40)])
def test_what_the_nodes_see_is_spread_over_the_ring(value: int) -> None:
    """Behind a map that is far from onto, too."""
    deal, x = Deal(), torch.full((2000, 1), value)

    def program(run: Any, x: torch.Tensor) -> Any:
        return run.renew(run.given(x), lambda part: part * torch.tensor([[2, 0]]))

    program(Dealing(deal), blank(2000, 1))
    nodes = [Preparing(Draw(party, *part)) for party, part in enumerate(deal.parts())]
    sent: list[torch.Tensor] = []

    def exchange(mine: torch.Tensor) -> torch.Tensor:
        sent.append(mine)
        return torch.zeros_like(mine)

    for node in nodes:
        program(node, blank(2000, 1))
        node.meet(exchange)
    opened, missing = x + InputOwner([node.draw.seed for node in nodes]).mask(2000, 1), sent[0] + sent[1]
    renewed = opened * torch.tensor([[2, 0]]) + missing.reshape(2000, 2)
    for seen in (opened, missing, renewed, *sent):
        assert is_uniform(seen.numpy())


def test_what_has_not_met_the_other_node_computes_nothing() -> None:
    deal, program = Deal(), layer(torch.ones(2, 2, dtype=torch.int64))
    program(Dealing(deal), blank(1, 2))
    preparing = Preparing(Draw(0, *deal.parts()[0]))
    program(preparing, blank(1, 2))
    with pytest.raises(RuntimeError, match="meet"):
        program(Computing(0, preparing.made, lambda mine: mine), torch.zeros(1, 2, dtype=torch.int64))


def test_what_was_cut_cannot_be_renewed() -> None:
    def program(run: Any, x: torch.Tensor) -> Any:
        return run.renew(run.apply(Truncate(3), run.given(x)), lambda part: part)

    with pytest.raises(ValueError, match="renewed"):
        reveal(program, given=[torch.ones(2, dtype=torch.int64)])
