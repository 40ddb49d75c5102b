"""Turns, medians, ratios and bars."""

import asyncio
from itertools import pairwise

import pytest
from bench.measure import Bar, Rounds, ratio_of, spread
from hypothesis import given
from hypothesis import strategies as st


def scripted(log, name, figures):
    async def turn(number):
        log.append((name, number))
        return figures[number] if number >= 0 else 1000.0

    return turn


async def test_contestants_alternate_and_warm_up_rounds_are_dropped():
    log = []
    rounds = Rounds("a", "b")
    turns = {"a": scripted(log, "a", [1.0, 2.0, 3.0]), "b": scripted(log, "b", [2.0, 2.0, 2.0])}
    await rounds.take(turns, runs=3, warmup=2)
    assert log == [
        *(("a", -2), ("b", -2), ("b", -1), ("a", -1)),
        *(("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2), ("b", 2)),
    ]
    assert rounds.of("a") == [1.0, 2.0, 3.0]
    row = rounds.row("a", "b", name="n", against="b", unit="s")
    assert (row.ours, row.peer, row.ratio, row.runs, row.partial) == (2.0, 2.0, 1.0, 3, False)


async def test_the_ratio_is_the_median_of_each_rounds_own():
    rounds = Rounds("a", "b")
    # Medians are 10 and 10; in most rounds, though, a took twice as long as b.
    rounds.taken = [{"a": a, "b": b} for a, b in ((2.0, 1.0), (10.0, 20.0), (40.0, 10.0), (4.0, 2.0), (60.0, 30.0))]
    rounds.wanted = 5
    assert rounds.row("a", "b", name="n", against="b", unit="s").ratio == 0.5
    assert rounds.row("a", "b", name="n", against="b", unit="tokens/s").ratio == 2.0


async def test_one_turn_may_bring_several_figures():
    async def both(number):
        return {"a": 1.0, "a weight": 5.0}

    async def single(number):
        return {"b": 2.0, "b weight": 50.0}

    rounds = Rounds("a", "b")
    await rounds.take({"a": both, "b": single}, runs=2)
    assert rounds.row("a weight", "b weight", name="n", against="b", unit="MB").ratio == 10.0


async def test_what_was_taken_before_an_interruption_makes_a_partial_row():
    reached = asyncio.Event()

    async def quick(number):
        return 1.0

    async def stuck(number):
        if number == 2:
            reached.set()
            await asyncio.Event().wait()
        return 4.0

    rounds = Rounds("a", "b")
    task = asyncio.create_task(rounds.take({"a": quick, "b": stuck}, runs=9, warmup=0))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    row = rounds.row("a", "b", name="n", against="b", unit="s")
    assert (row.runs, row.partial, row.ratio) == (2, True, 4.0)


def test_without_a_finished_round_there_is_no_row():
    with pytest.raises(ValueError, match="no round was finished"):
        Rounds("a", "b").row("a", "b", name="n", against="b", unit="s")


@pytest.mark.parametrize(
    ("bar", "unit", "ours", "ratio", "met", "text"),
    [
        (Bar("ours", 150), "µs", 150.0, None, True, "≤ 150 µs"),
        (Bar("ours", 150), "µs", 150.1, None, False, "≤ 150 µs"),
        (Bar("ours", 20), "tokens/s", 19.9, None, False, "≥ 20 tokens/s"),
        (Bar("ratio", 0.9), "tokens/s", 0.0, 0.9, True, "ratio ≥ 0.9"),
        (Bar("ratio", 3), "µs", 0.0, 2.99, False, "ratio ≥ 3"),
    ],
)
def test_bars(bar, unit, ours, ratio, met, text):
    assert bar.met(ours, ratio, unit) is met
    assert bar.text(unit) == text


def test_a_row_needs_all_of_its_bars():
    rounds = Rounds("a", "b")
    rounds.taken, rounds.wanted = [{"a": 100.0, "b": 200.0}], 1
    row = rounds.row("a", "b", name="n", against="b", unit="µs", bars=[Bar("ours", 150), Bar("ratio", 3)])
    assert row.met is False
    assert row.bar == "≤ 150 µs, ratio ≥ 3"


positive = st.floats(min_value=1e-6, max_value=1e6)


@given(positive, positive, st.sampled_from(["s", "µs", "MB", "tokens/s"]))
def test_a_ratio_above_one_always_means_that_ours_is_better(ours, peer, unit):
    better = ours < peer if unit != "tokens/s" else ours > peer
    assert (ratio_of(ours, peer, unit) > 1) == better or ours == pytest.approx(peer)


@given(st.lists(positive, min_size=1, max_size=30))
def test_a_spread_is_in_order(values):
    found = list(spread(values).values())
    assert all(a <= b or a == pytest.approx(b) for a, b in pairwise(found))
    assert (found[0], found[-1]) == (min(values), max(values))
