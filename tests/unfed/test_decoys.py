"""When decoys come and of what, and texts that a model writes: like what is asked, and each used once."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from unfed.backends.unfed.client.caught import Caught
from unfed.backends.unfed.client.decoys import Decoys
from unfed.backends.unfed.client.habits import Habits, Moment
from unfed.backends.unfed.client.texts import Texts, read_texts
from unfed.backends.unfed.client.verification import Verification, falls
from unfed.backends.unfed.integrity.verifier import Verdict
from unfed.backends.unfed.integrity.writing import write
from unfed.plugins import Context, Note, Query, UnfedError

END = 3


class Writer:
    """Stands for the verifier: texts of the lengths that it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, ...]] = []

    async def write(self, before: tuple[int, ...], until: int, lengths: tuple[int, ...]) -> list[list[int]]:
        assert before == (END,) and until == END
        self.asked.append(lengths)
        return [[1000 * len(self.asked) + number] * length for number, length in enumerate(lengths)]


class Spot:
    """Decoys of these texts, and what was run of them."""

    def __init__(self, rate: float, texts: list[list[int]], takes: float = 0.0) -> None:
        self.ran: list[list[int]] = []
        self.ids = set[str]()
        self.told: list[Note] = []
        self.writer, self.takes, self.begun = Writer(), takes, asyncio.Event()
        made = Texts([str(number) for number in range(len(texts))], lambda text: texts[int(text)])
        self.decoys = Decoys(cast("Verification", self.writer), rate, made, END, self._rehearse, self.told.append)

    async def _rehearse(self, query: Query) -> None:
        """As the host does, and the client's `answer`."""
        text = self.decoys.given(query.id)
        assert text is not None and len(query.id) == 32 and query.id not in self.ids
        self.ids.add(query.id)
        self.begun.set()
        with contextlib.suppress(asyncio.CancelledError):  # which is the answer's end, and no more
            await asyncio.sleep(self.takes)
            self.ran.append(text)

    def begin(self, tokens: int) -> None:
        self.decoys.asked(Query(id="q", prompt="a secret"), tokens)

    def query(self, tokens: int) -> None:
        self.begin(tokens)
        self.decoys.answered()


def within(count: int, times: int, rate: float) -> bool:
    """The 99.9% interval of a binomial, by its normal approximation."""
    return abs(count - times * rate) <= 3.29 * math.sqrt(times * rate * (1 - rate)) + 1


@pytest.mark.parametrize("rate", [0.05, 0.3, 1.0])
async def test_a_decoy_follows_a_session_at_the_rate_and_each_text_is_used_once(rate: float) -> None:
    times = 1500
    spot = Spot(rate, [[number, number] for number in range(times)])
    for _ in range(times):
        spot.query(2)
        assert await spot.decoys.ahead() is None
    assert within(len(spot.ran), times, rate)
    assert len({ids[0] for ids in spot.ran}) == len(spot.ran)
    assert not spot.writer.asked and not spot.told


async def test_no_coin_is_thrown_but_after_a_query() -> None:
    spot = Spot(1, [[1], [2], [3]])
    for _ in range(3):
        assert await spot.decoys.ahead() is None
    assert spot.ran == []
    spot.query(1)
    for _ in range(3):
        assert await spot.decoys.ahead() is None
    assert len(spot.ran) == 1


def test_the_coin_of_an_answer_falls_as_one_for_each_of_its_tokens() -> None:
    times = 4000
    for tokens in (1, 4, 12):
        rate = 1 - 0.9**tokens
        assert within(sum(falls(0.1, tokens) for _ in range(times)), times, rate)
    assert falls(1) and not falls(0.5, 0)


def test_the_text_whose_length_comes_nearest_is_taken_and_not_the_same_among_equals() -> None:
    taken = Counter[str]()
    for _ in range(200):
        texts = Texts(["aa", "bb", "cccc", "ddddddd"], lambda text: [ord(letter) for letter in text])
        taken[chr(texts.take(2)[0])] += 1
        assert len(texts.take(3)) in (2, 4) and len(texts.take(9)) == 7 and len(texts) == 1
    assert set(taken) == {"a", "b"} and within(taken["a"], 200, 0.5)


async def test_lengths_are_drawn_from_those_of_late() -> None:
    spot = Spot(1, [[0] * length for length in (5, 50, 100)] * 300)
    for number in range(300):
        spot.query(100 if number < 100 else (5, 50)[number % 2])
        await spot.decoys.ahead()
    late = [len(ids) for ids in spot.ran[200:]]
    assert not any(length > 80 for length in late), "what was asked long ago is forgotten"
    assert within(sum(length > 25 for length in late), len(late), 0.5)


def test_moments_are_those_of_late() -> None:
    habits = Habits()
    habits.asked(3, None)
    assert habits.moment() == (0.0, False)
    for moment in (Moment(1.0), Moment(4.0, beside=True)):
        habits.asked(3, moment)
    drawn = Counter(habits.moment() for _ in range(400))
    assert set(drawn) == {(1.0, False), (4.0, True)} and within(drawn[Moment(1.0)], 400, 0.5)


async def test_under_queries_that_overlap_decoys_run_beside_them_and_none_is_left_out() -> None:
    """Nobody ever waits for the last answer there, so that no query's end leaves the client idle."""
    spot = Spot(0.5, [[number] for number in range(600)])
    spot.begin(1)
    for _ in range(600):
        spot.begin(1)
        spot.decoys.answered()
        await asyncio.sleep(0.002)
    await spot.decoys._ended()
    assert within(len(spot.ran) + len(spot.decoys._due), 600, 0.5), "a coin for each, though none was alone"
    assert len(spot.decoys._due) < 10 and all(moment.beside for moment in spot.decoys._due)


async def test_a_long_pause_is_waited_out_unless_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    spot, now = Spot(1, [[1], [2], [3]]), [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    spot.query(1)
    assert await spot.decoys.ahead() is None and len(spot.ran) == 1, "no pause is known yet"
    spot.query(1)
    now[0] += 5
    spot.query(1)  # five seconds after the one before; the decoy of which is still due, without a pause
    assert (await spot.decoys.ahead()) == pytest.approx(5) and len(spot.ran) == 2
    now[0] += 3
    assert (await spot.decoys.ahead()) == pytest.approx(2), "no coin is thrown again, and no other pause drawn"
    now[0] += 2
    await spot.decoys.ahead()
    assert len(spot.ran) == 3


async def test_a_decoy_that_has_begun_is_finished_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    spot = Spot(1, [[1], [2]], takes=0.05)
    spot.query(1)
    ahead = asyncio.create_task(spot.decoys.ahead())
    await spot.begun.wait()
    ahead.cancel()  # as when a query comes
    with pytest.raises(asyncio.CancelledError):
        await ahead
    assert spot.ran == []
    await spot.decoys.ahead()
    assert len(spot.ran) == 1


async def test_more_is_written_whenever_nothing_is_left_and_a_decoy_or_none_comes() -> None:
    spot = Spot(1e-12, [])
    for _ in range(5):
        spot.query(7)
        await spot.decoys.ahead()
    assert spot.ran == [] and spot.writer.asked == [(7, 7, 7, 7)], "asked for before anything is due"
    spot = Spot(1, [])
    for number in range(9):
        spot.query(7)
        await spot.decoys.ahead()
        assert len(spot.ran) == number + 1
    assert len(spot.writer.asked) == 3 and len({tuple(ids) for ids in spot.ran}) == 9


async def test_a_decoy_without_a_text_is_left_out_and_the_next_one_comes(caplog: pytest.LogCaptureFixture) -> None:
    spot, write = Spot(1, []), Writer.write

    async def fail(*given: Any) -> list[list[int]]:
        raise UnfedError("the verifier is gone")

    spot.writer.write = fail  # type: ignore[method-assign]
    spot.query(1)
    with pytest.raises(UnfedError, match="gone"):
        await spot.decoys.ahead()
    assert await spot.decoys.ahead() is None and spot.ran == []
    assert "there is no text for a decoy: the verifier is gone" in caplog.text
    said = "a decoy was left out, for there is no text: the verifier is gone"
    assert spot.told == [Note(kind="check", party="verifier", text=said)]
    spot.writer.write = write.__get__(spot.writer)  # type: ignore[method-assign]
    spot.query(1)
    assert await spot.decoys.ahead() is None and len(spot.ran) == 1 and len(spot.told) == 1


async def test_a_decoy_that_nobody_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unfed.backends.unfed.client.decoys._WITHIN", 0.02)
    spot = Spot(1, [[1], [2]], takes=60)
    spot.query(1)
    assert await spot.decoys.ahead() is None and spot.ran == []
    assert [note.text for note in spot.told] == ["a decoy was not answered and checked within 0.02 s"]
    spot.takes = 0.0
    spot.query(1)
    assert await spot.decoys.ahead() is None and len(spot.ran) == len(spot.told) == 1


def test_prompts_files_of_decoys(tmp_path: Path) -> None:
    path = tmp_path / "decoys.jsonl"
    path.write_text('{"prompt": "a =>", "label": "x"}\n\n{"prompt": "b"}\n')
    assert read_texts(path) == ["a =>", "b"]
    path.write_text('{"prompt": "a"}\n{"text": "b"}\n')
    with pytest.raises(UnfedError, match="line 2") as caught:
        read_texts(path)
    assert caught.value.failure.kind == "bad-input"
    with pytest.raises(UnfedError, match="cannot read"):
        read_texts(tmp_path / "none")


# -- texts that the model writes


def test_what_is_written_is_drawn_as_the_logits_say() -> None:
    chances = torch.tensor([0.1, 0.2, 0.3, 0.4])
    given: list[tuple[list[int], int]] = []

    def logits(ids: list[int], start: int) -> torch.Tensor:
        given.append((ids, start))
        return chances.log()

    times = 3000
    found = write(logits, (7, 8), -1, times)
    assert len(found) == times
    assert all(within(found.count(token), times, float(chance)) for token, chance in enumerate(chances))
    assert given[0] == ([7, 8], 0) and given[1] == ([found[0]], 2) and given[5] == ([found[4]], 6)
    without = write(logits, (7,), 3, times)
    assert 3 not in without and within(without.count(2), times, 0.5)


# -- what becomes of proofs


class Known:
    def certificate(self, party: str) -> str:
        return "a certificate"


@pytest.mark.parametrize("live", [True, False])
def test_proofs_of_real_sessions_are_never_kept(tmp_path: Path, live: bool) -> None:
    caught = Caught(cast("Context", Known()), str(tmp_path / "proofs"), live=live)
    failure: Any = caught.add(Verdict("layers-1", "computed something else", b"what was asked")).failure
    assert failure.party == "layers-1" and ("no proof is kept" in failure.hint) == live
    assert [path.read_bytes() for path in tmp_path.rglob("*.json")] == ([] if live else [b"what was asked"])
    with pytest.raises(UnfedError, match="failed a spot check"):
        caught.check(("layers-1",))
    why = caught.why("layers-1")
    assert why is not None
    caught.keep("layers-1", why)
    assert [note.party for note in caught.news()] == ["layers-1"] and not caught.news(), "it is told of once"
