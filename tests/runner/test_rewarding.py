"""Rewards of a run in which somebody is caught."""

from __future__ import annotations

from unfed.console.results.record import Result, Seconds
from unfed.console.runner.rewarding import CAUGHT, DOUBTED, Rewarding
from unfed.plugins import Contribution, Note
from unfed.plugins.rewards import Equal, Work


def result(variant: str) -> Result:
    return Result(backend="b", variant=variant, prompt_id="p", options={}, status="ok", error=None, seconds=Seconds())


def did(**work: float) -> list[Contribution]:
    return [Contribution(party=party, amounts={"layer_tokens": amount}) for party, amount in work.items()]


def shares(result: Result, scheme: str) -> dict[str, float]:
    return next(dict(split.shares) for split in result.rewards if split.scheme == scheme)


def test_what_was_split_before_is_split_anew_and_in_its_variant_alone() -> None:
    rewarding = Rewarding({"work": Work, "equal": Equal})
    before, after, elsewhere = result("one"), result("one"), result("two")
    rewarding.settled("one", before, did(a=1, b=3))
    rewarding.settled("two", elsewhere, did(a=1, b=3))
    assert shares(before, "work") == {"a": 0.25, "b": 0.75}
    rewarding.heard("one", Note(kind="retry", text="lost", party="b"))
    assert shares(before, "work") == {"a": 0.25, "b": 0.75}, "to be lost is no fault"
    rewarding.heard("one", Note(kind=CAUGHT, text="it failed a spot check", party="b"))
    rewarding.settled("one", after, did(a=2, b=2))
    for each in (before, after):
        assert shares(each, "work") == {"a": 1.0, "b": 0.0}
        assert shares(each, "equal") == {"a": 0.5, "b": 0.5}, "the same to all, whatever they did"
    assert shares(elsewhere, "work") == {"a": 0.25, "b": 0.75}


def test_where_all_are_caught_there_is_nothing_to_split() -> None:
    rewarding, made = Rewarding({"work": Work}), result("one")
    rewarding.settled("one", made, did(a=1))
    rewarding.heard("one", Note(kind=CAUGHT, text="it failed a spot check", party="a"))
    assert shares(made, "work") == {}


def test_work_that_failed_a_check_together_counts_for_none_of_those_who_did_it() -> None:
    rewarding, made = Rewarding({"work": Work, "equal": Equal}), result("one")
    rewarding.settled("one", made, did(a=1, b=2, c=1))
    for party in ("a", "b"):
        rewarding.heard("one", Note(kind=DOUBTED, text="what they did together failed a spot check", party=party))
    assert shares(made, "work") == {"a": 0.0, "b": 0.0, "c": 1.0}
