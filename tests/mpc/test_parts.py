"""Prompts are run in parts, and sessions prepared ahead in steps, that fit into memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unfed.backends.mpc.transformer import parts as module
from unfed.backends.mpc.transformer.parts import FEW, GATE, MOST, SCORE, memory, padded_size, parts, steps_ahead
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


@given(st.integers(1, 5000))
def test_prompts_are_padded_by_less_than_half_of_their_length(tokens: int) -> None:
    size = padded_size(tokens)
    assert tokens <= size < max(9, 1.5 * tokens)
    assert padded_size(size) == size <= padded_size(tokens + 1)


@given(st.integers(1, 256), st.integers(0, 256))
def test_what_is_prepared_ahead_fits_into_memory_and_context(size: int, answer: int) -> None:
    steps = steps_ahead(CARD, size, answer, 256)
    assert steps[0] == size and set(steps[1:]) <= {1}
    assert len(steps) <= 1 + min(MOST, answer + FEW) and sum(steps) <= 256
    taken = sum(memory(CARD, sum(steps[:at]), rows) for at, rows in enumerate(steps))
    assert taken <= module.MEMORY or steps == [size]


@pytest.mark.parametrize(("answer", "tokens"), [(0, 8), (3, 8), (8, 8), (9, 16), (40, 32)])
def test_about_as_many_tokens_are_prepared_as_the_last_answer_had(answer: int, tokens: int) -> None:
    assert steps_ahead(CARD, 8, answer, 256) == [8] + tokens * [1]
