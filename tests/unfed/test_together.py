"""What entries and dealer computed together, done again: it is found out where it is something else, and only there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from random_models import save_gpt2, save_llama, save_qwen2
from unfed_sessions import SCALE, Change, Rig

from unfed.backends.unfed.integrity.opened import read_shares
from unfed.backends.unfed.integrity.proof import Rows
from unfed.backends.unfed.integrity.together import distance, fault
from unfed.backends.unfed.promises import TOGETHER
from unfed.plugins import UnfedError

STEPS = ((5, 17, 300, 42, 8), (9,), (77,))
SAVES: dict[str, Callable[[Path], Path]] = {"llama": save_llama, "gpt2": save_gpt2, "qwen2": save_qwen2}


@pytest.fixture(scope="module", params=SAVES)
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Rig:
    return Rig(SAVES[request.param](tmp_path_factory.mktemp(request.param)), (2, 3))


def found(rig: Rig, change: Change = lambda rows: rows, scale: int = SCALE) -> str:
    one, other = rig.computes(asked := rig.asks(STEPS), change)
    return fault(rig.judge, (0, 1), asked.cells, ((one, SCALE), (other, scale)))


def along(amount: float, rows: torch.Tensor) -> torch.Tensor:
    """The last row is off by so much of its length."""
    changed = rows.clone()
    changed[-1, 3] += amount * rows[-1].norm()
    return changed


def test_what_is_off_by_more_than_the_tolerance_is_found_and_nothing_else(rig: Rig) -> None:
    assert found(rig) == ""
    assert found(rig, partial(along, 0.9 * TOGETHER)) == ""
    assert found(rig, partial(along, 1.1 * TOGETHER)).startswith("computed something else: off by 0.11 of a row's")


@pytest.mark.parametrize("change", [torch.zeros_like, lambda rows: rows.flip(0), lambda rows: rows * 1.2])
def test_what_is_another_thing_altogether_is_found(rig: Rig, change: Change) -> None:
    assert found(rig, lambda rows: change(rows) if len(rows) > 1 else rows)


def test_a_mean_that_norms_do_not_see_is_seen(tmp_path: Path) -> None:
    """It would drown what hangs on the other numbers."""
    assert found(Rig(save_gpt2(tmp_path / "gpt2"), (2, 3)), lambda rows: rows + 1000)


def test_steps_that_are_missing_or_do_not_go_together_are_found(rig: Rig) -> None:
    wanted = [Rows(0, torch.ones(2, 4)), Rows(2, torch.ones(1, 4))]
    right = [Rows(start, (rows * 2**SCALE).long()) for start, rows in wanted]
    nothing = [Rows(start, torch.zeros_like(rows)) for start, rows in right]
    assert distance(wanted, (right, SCALE), (nothing, SCALE)) == 0
    for sent in (nothing[:1], [nothing[0], Rows(3, nothing[1].rows)], [nothing[0], Rows(2, nothing[0].rows)]):
        assert distance(wanted, (right, SCALE), (sent, SCALE)) == float("inf")
    assert distance(wanted, (right, SCALE), (nothing, SCALE + 1)) == float("inf")
    assert distance(wanted, (right, SCALE - 1), (nothing, SCALE - 1)) == pytest.approx(1.0)
    assert found(rig, scale=SCALE - 1)


def test_what_leads_to_no_numbers_is_nobodys_fault(rig: Rig) -> None:
    """Keys that do not go together give no row of the table, whatever is made of it."""
    asked, others = rig.asks([range(60)]), rig.asks([range(60, 120)])
    one, other = rig.computes(asked)
    with pytest.raises(UnfedError, match="do not add up to rows of numbers"):
        fault(rig.judge, (0, 1), [asked.cells[0], others.cells[1]], ((one, SCALE), (other, SCALE)))


OPENED = {"rows": torch.zeros(3, 4, dtype=torch.int64), "sizes": [2, 1], "starts": [0, 2], "scale": 7}


@pytest.mark.parametrize(
    "change",
    [
        {"rows": torch.zeros(3, 4)},
        {"rows": torch.zeros(3, 5, dtype=torch.int64)},
        {"rows": torch.zeros(3, dtype=torch.int64)},
        {"rows": b"rows"},
        {"sizes": [2, 2]},
        {"sizes": [3, 0]},
        {"starts": [0]},
        {"starts": [0, -1]},
        {"scale": 63},
        {"scale": -1},
        {"scale": None},
    ],
)
def test_what_is_opened_is_read_or_refused(change: dict[str, Any]) -> None:
    shares, scale = read_shares("entry-0", OPENED, 4)
    assert [(start, len(rows)) for start, rows in shares] == [(0, 2), (2, 1)] and scale == 7
    with pytest.raises(UnfedError, match="opened what are no") as refused:
        read_shares("entry-0", OPENED | change, 4)
    assert refused.value.failure.party == "entry-0"
