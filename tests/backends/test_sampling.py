"""Drawing with a seed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GenerationConfig, TopPLogitsWarper

from unfed.backends.common.generation import Generation
from unfed.backends.common.sampling import Sampler
from unfed.plugins import UnfedError

LOGITS = torch.randn(40, 50, generator=torch.Generator().manual_seed(1)) * 2


def sampler(**about: float) -> Sampler:
    ends = int(about.pop("end", -1))
    return Sampler(Generation(GenerationConfig(eos_token_id=ends)), [3, 4], **{"max_new_tokens": 40, **about})  # type: ignore[arg-type]


def taken(**about: float) -> list[int]:
    one = sampler(**about)
    return [one.take(logits) for logits in LOGITS]


def test_same_seed_same_tokens_other_seed_others() -> None:
    first = taken(temperature=1.0, seed=7)
    torch.manual_seed(99)  # the global generator has no part in it
    assert taken(temperature=1.0, seed=7) == first
    assert taken(temperature=1.0, seed=8) != first
    assert taken(temperature=1.0, seed=2**63 + 5) == taken(temperature=1.0, seed=2**63 + 5)


def test_seeds_of_any_size_are_taken() -> None:
    for seed in (-1, 0, 2**64, 2**80):
        assert len(taken(temperature=1.0, seed=seed)) == 40


def test_temperature_nought_is_greedy_and_a_small_one_nearly() -> None:
    greedy = LOGITS.argmax(-1).tolist()
    assert taken() == greedy == taken(temperature=1e-4, seed=5) == taken(temperature=1.0, top_p=1e-9, seed=5)


def test_rounding_does_not_change_what_is_drawn() -> None:
    one, other = sampler(temperature=1.0, seed=3), sampler(temperature=1.0, seed=3)
    assert [one.take(row) for row in LOGITS] == [other.take(row * (1 + 1e-7)) for row in LOGITS]


@given(st.floats(0.05, 1.0), st.floats(0.2, 3.0), st.integers(0, 2**32))
def test_only_tokens_within_top_p_are_drawn(top_p: float, temperature: float, seed: int) -> None:
    one = sampler(temperature=temperature, top_p=top_p, seed=seed)
    warper = TopPLogitsWarper(top_p=min(1.0, top_p + 1e-6))
    for logits in LOGITS[:8]:
        allowed = warper(torch.tensor([[0]]), logits[None] / temperature)[0] > -torch.inf
        assert allowed[one.take(logits)]


def test_frequencies_follow_the_distribution() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0])
    one = sampler(temperature=1.5, max_new_tokens=10**6, seed=11)
    counts = torch.bincount(torch.tensor([one.take(logits) for _ in range(20_000)]), minlength=4) / 20_000
    assert torch.allclose(counts, torch.softmax(logits / 1.5, -1), atol=0.015)


def test_an_answer_ends_at_an_end_token_the_length_or_the_context() -> None:
    greedy = LOGITS.argmax(-1).tolist()
    cases = (
        ({"end": greedy[4]}, greedy[: greedy.index(greedy[4]) + 1], "end"),
        ({"max_new_tokens": 3}, greedy[:3], "length"),
        ({"context": 6}, greedy[:5], "context"),
        ({"context": 6, "max_new_tokens": 5}, greedy[:5], "length"),
    )
    for about, tokens, why in cases:
        one = sampler(**about)
        for logits in LOGITS:
            assert one.stopped is None
            one.take(logits)
            if one.stopped:
                break
        assert (one.tokens, one.stopped) == (tokens, why)


@pytest.mark.parametrize(
    "about",
    [
        {"max_new_tokens": 0},
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": 1.0, "top_p": 0.0},
        {"temperature": 1.0, "top_p": 1.1},
    ],
)
def test_impossible_wishes_are_refused(about: dict[str, float]) -> None:
    with pytest.raises(UnfedError):
        sampler(**about)
