"""Scores against figures worked out by hand and by scipy-free formulas."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unfed.console.runner import score
from unfed.plugins import Contribution, RewardScheme, Token
from unfed.plugins.rewards import Equal, Work


def token(identifier: int, *logits: float) -> Token:
    return Token(id=identifier, text="", logits=struct.pack(f"<{len(logits)}f", *logits) if logits else None)


def tokens(*identifiers: int, logits: bool = True) -> list[Token]:
    return [token(each, *((1.0, 2.0, 3.0) if logits else ())) for each in identifiers]


@pytest.mark.parametrize(
    ("mine", "theirs", "agreement"),
    [
        ((1, 2, 3), (1, 2, 3), 1.0),
        ((1, 2, 3), (1, 9, 3), 2 / 3),
        ((1, 2), (1, 2, 3, 4), 0.5),
        ((1, 2, 3, 4), (1, 2), 0.5),
        ((9,), (1,), 0.0),
        ((), (1,), 0.0),
        ((), (), 1.0),
    ],
)
def test_token_agreement_is_of_the_longer_answer(mine: Sequence[int], theirs: Sequence[int], agreement: float) -> None:
    found = score.fidelity(tokens(*mine), tokens(*theirs))
    assert found.token_agreement == pytest.approx(agreement) and found.reference == "plain"


def test_equal_answers_have_no_distance() -> None:
    found = score.fidelity(tokens(1, 2), tokens(1, 2))
    assert (found.mean_kl, found.max_logit_error, found.reason) == (0.0, 0.0, None)


def test_kl_is_of_the_reference_from_the_answer() -> None:
    """Two outcomes: reference (3/4, 1/4), answer (1/2, 1/2): KL(reference ‖ answer) = 3/4 ln 3/2 + 1/4 ln 1/2."""
    reference, answer = [token(0, math.log(3), 0.0)], [token(0, 5.0, 5.0)]
    forward = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    backward = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert abs(forward - backward) > 0.01
    found = score.fidelity(answer, reference)
    assert found.mean_kl == pytest.approx(forward, rel=1e-6)
    assert found.max_logit_error == pytest.approx(5.0)
    assert score.fidelity(reference, answer).mean_kl == pytest.approx(backward, rel=1e-6)


def test_figures_run_up_to_and_including_the_first_differing_token() -> None:
    reference = [token(0, 0, 0), token(1, 0, 0), token(1, 0, 0), token(1, 0, 0)]
    answer = [token(0, 0.25, 0), token(1, 0.5, 0), token(0, 2, 0), token(1, 1000, 0)]
    found = score.fidelity(answer, reference)
    assert found.token_agreement == 0.75 and found.max_logit_error == 2.0
    steps = [score.fidelity([mine], [theirs]).mean_kl for mine, theirs in zip(answer[:3], reference[:3], strict=True)]
    assert found.mean_kl == pytest.approx(np.mean(np.array(steps, dtype=float)))


def test_the_margin_says_how_far_below_the_token_taken_lay() -> None:
    reference = [token(0, 3, 1, 2), token(1, 0, 5, 4.75)]
    assert score.fidelity([token(0, 3, 1, 2), token(2, 0, 4.8, 4.9)], reference).margin == 0.25
    assert score.fidelity([token(1, 3, 1, 2), token(1, 0, 5, 4)], reference).margin == 2.0
    assert score.fidelity(reference, reference).margin is None
    assert score.fidelity([token(0, 3, 1, 2), token(7, 0, 5, 4)], reference).margin is None
    assert score.fidelity([token(0), token(2)], [token(0), token(1)]).margin is None


def test_without_reference_or_answer_the_reason_stands() -> None:
    assert score.fidelity(tokens(1), None) == score.Fidelity(reason="no plain in this run")
    assert score.fidelity(tokens(1), None, reason=score.REFERENCE_FAILED).reason == "plain did not answer this prompt"
    missing = score.fidelity(None, tokens(1))
    assert missing.token_agreement is None and missing.reason == score.NO_ANSWER


@pytest.mark.parametrize(
    ("mine", "theirs", "reason"),
    [
        (token(1), token(1, 1.0), "this backend reported no logits"),
        (token(1, 1.0), token(1), "plain reported no logits"),
        (token(1, 1.0), token(1, 1.0, 2.0), "logits differ in size: 1 here, 2 at plain"),
        (token(1, math.nan), token(1, 1.0), "not numbers"),
        (token(1, math.inf, 0.0), token(1, 1.0, 0.0), "not numbers|infinite"),
        (Token(id=1, text="", logits=b"abc"), token(1, 1.0), "not whole float32"),
        (Token(id=1, text="", logits=b""), Token(id=1, text="", logits=b""), "not whole float32"),
    ],
)
def test_logits_that_cannot_be_compared_leave_agreement_and_a_reason(mine: Token, theirs: Token, reason: str) -> None:
    found = score.fidelity([mine], [theirs])
    assert found.token_agreement == 1.0 and found.mean_kl is None and found.max_logit_error is None
    assert any(each in (found.reason or "") for each in reason.split("|")), found.reason


def test_masked_tokens_are_no_distance() -> None:
    found = score.fidelity([token(0, 1.0, -math.inf)], [token(0, 1.0, -math.inf)])
    assert (found.mean_kl, found.max_logit_error, found.reason) == (0.0, 0.0, None)


floats = st.floats(-50, 50, width=32)


@given(st.lists(st.tuples(floats, floats), min_size=1, max_size=20), floats)
def test_kl_is_never_negative_and_blind_to_shifts(pairs: list[tuple[float, float]], shift: float) -> None:
    mine, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    found = score.fidelity([token(0, *mine)], [token(0, *theirs)])
    assert found.mean_kl is not None and found.mean_kl >= 0
    moved = score.fidelity([token(0, *(float(np.float32(a + shift)) for a in mine))], [token(0, *theirs)])
    assert moved.mean_kl == pytest.approx(found.mean_kl, abs=1e-3)


@pytest.mark.parametrize(
    ("text", "label", "correct"),
    [
        (" animal: collie", "animal", True),
        ("Animal", "animal", True),
        ("ANIMAL.", "Animal", True),
        ("“animal”, a dog", "animal", True),
        ("straße", "STRASSE", True),
        ("- animal", "animal", True),
        ("animals: dog", "animal", False),
        ("an animal", "animal", False),
        ("plant: animal", "animal", False),
        ("", "animal", False),
        ("...", "animal", False),
        ("act1", "act", True),
        ("42.", "42", True),
        ("43", "42", False),
        ("anything", None, None),
    ],
)
def test_first_word_decides(text: str, label: str | None, correct: bool | None) -> None:
    assert score.utility(text, label).correct is correct


def shares(scheme: str, splits: Sequence[score.RewardSplit]) -> Mapping[str, float]:
    return next(split.shares for split in splits if split.scheme == scheme)


def test_rewards_of_the_built_in_schemes() -> None:
    done = [
        Contribution(party="a", amounts={"layer_tokens": 2}),
        Contribution(party="a", amounts={"layer_tokens": 4}),
        Contribution(party="b", amounts={"layer_tokens": 2}),
        Contribution(party="client", amounts={"layer_tokens": 100}),
        Contribution(party="stranger", amounts={"layer_tokens": 100}),
    ]
    splits = score.rewards({"work": Work, "equal": Equal}, ["a", "b", "idle"], done)
    assert [split.scheme for split in splits] == ["equal", "work"]
    assert shares("equal", splits) == pytest.approx({"a": 1 / 3, "b": 1 / 3, "idle": 1 / 3})
    assert shares("work", splits) == pytest.approx({"a": 0.75, "b": 0.25, "idle": 0.0})


def test_nothing_to_split() -> None:
    assert all(split.shares == {} and split.reason is None for split in score.rewards({"w": Work, "e": Equal}, [], []))
    assert shares("w", score.rewards({"w": Work}, ["a"], [])) == {}


def scheme(outcome: object) -> type[RewardScheme]:
    class Made(RewardScheme):
        name, title = "made", "Made"

        def shares(self, contributions: Sequence[Contribution]) -> Mapping[str, float]:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome  # type: ignore[return-value]

    return Made


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (ValueError("oh"), "ValueError: oh"),
        ({"a": 0.7}, "do not sum to 1"),
        ({"a": 1.5, "b": -0.5}, "negative or no number"),
        ({"a": math.nan}, "negative or no number"),
        ({"c": 1.0}, "rewards c, which is no node"),
        (None, "AttributeError"),
        ({"a": "much"}, "ValueError"),
    ],
)
def test_a_broken_scheme_says_why_and_leaves_the_others(outcome: object, reason: str) -> None:
    made, equal = score.rewards({"a-made": scheme(outcome), "equal": Equal}, ["a", "b"], [])
    assert made.shares == {} and reason in (made.reason or "")
    assert equal.shares == {"a": 0.5, "b": 0.5}
