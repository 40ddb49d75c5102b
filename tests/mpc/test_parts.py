"""Prompts are run in parts that fit into memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from unfed.backends.mpc import parts as module
from unfed.backends.mpc.parts import GATE, SCORE, parts
from unfed.console.runner.models import read_card

CARD = read_card(Path(__file__).parents[2] / "profiles" / "demo" / "model")


def test_a_short_prompt_is_one_part() -> None:
    assert parts(CARD, 1) == [1]
    assert parts(CARD, 24) == [24]


def test_the_longest_prompt_is_cut_and_no_part_takes_more_than_it_may() -> None:
    sizes = parts(CARD, 256)
    assert len(sizes) > 1 and sum(sizes) == 256
    for number, size in enumerate(sizes):
        before = sum(sizes[:number])
        assert size * 4 * (256 * GATE + 4 * (before + size) * SCORE) <= module.MEMORY


def test_where_nothing_fits_it_is_a_token_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMORY", 1)
    assert parts(CARD, 3) == [1, 1, 1]
