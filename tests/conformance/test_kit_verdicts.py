"""How the kit judges what it has before it: guarantees against views, events, counts and seconds."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from workshop import DEMO

from unfed.console.runner.models import read_card
from unfed.plugins import (
    Answer,
    Array,
    Claim,
    Entry,
    Event,
    Failed,
    Failure,
    Finished,
    LinkCount,
    Party,
    Phase,
    Plan,
    Query,
    Started,
    Token,
    Trace,
    View,
    chain,
)
from unfed.plugins.conformance.accounts import miscounted, mistimed
from unfed.plugins.conformance.answers import REPEATS, disorder, growth
from unfed.plugins.conformance.canary import Canary, Planter, read_rows
from unfed.plugins.conformance.exchange import Exchange
from unfed.plugins.conformance.faults import blame
from unfed.plugins.conformance.haystack import Seen, entries_after
from unfed.plugins.conformance.likeness import ROUNDING, alike
from unfed.plugins.conformance.outcome import Complaint
from unfed.plugins.conformance.privacy import Planted, Verdict, judge
from unfed.plugins.conformance.probe import Weight, weigh
from unfed.plugins.view import ViewWriter

WORDS = ("zaiquvleplo", "brumaiskor")
CANARY = Canary(f"{WORDS[0]} and {WORDS[1]}", WORDS)


def claim(asset: str, *against: str, basis: str = "computational") -> Claim:
    return Claim(asset=asset, property="confidentiality", against=against, basis=basis)  # type: ignore[arg-type]


def plan(*claims: Claim) -> Plan:
    parties = (Party("client", "m:C"), Party("a", "m:A"), Party("b", "m:B", replicas=2))
    return Plan(parties=parties, links=chain("a", "client", "b"), guarantee=claims).check()


def said(party: str, **fields: object) -> Seen:
    return Seen(party, Entry(kind="message", name="tell", sender="client", fields=fields))


def verdict(plan: Plan, *seen: Seen, text: str = "an answer of some length", ids: tuple[int, ...] = ()) -> Verdict:
    tokens = tuple(Token(id=each, text="") for each in ids)
    views = {name: [each for each in seen if each.party == name] for name in plan.processes()}
    return judge(plan, [Planted(CANARY, tokens, text)], views, Planter(None))


def test_a_denied_asset_that_was_seen_breaks_the_claim() -> None:
    found = verdict(plan(claim("prompt", "a")), said("a", x=WORDS[1]))
    assert len(found.broken) == 1 and found.searched == 1
    assert found.broken[0].startswith("prompt is denied to a (computational), which saw prompt text")


def test_what_another_party_saw_breaks_nothing() -> None:
    assert not verdict(plan(claim("prompt", "a")), said("b.0", x=WORDS[0]), said("client", x=WORDS[0])).broken


def test_a_claim_that_denies_nothing_is_told_as_declared() -> None:
    found = verdict(plan(claim("prompt", "a", basis="none")), said("a", x=WORDS[0]))
    assert not found.broken and found.declared == ["a: prompt text"]


def test_every_replica_of_a_party_is_meant_by_its_name() -> None:
    assert verdict(plan(claim("prompt", "b")), said("b.1", x=WORDS[0])).broken
    assert not verdict(plan(claim("prompt", "b.0")), said("b.1", x=WORDS[0])).broken


def test_a_coalition_pools_what_its_members_saw() -> None:
    pad = np.random.default_rng(1).integers(0, 256, size=11, dtype="uint8")
    masked = (np.frombuffer(WORDS[0].encode(), dtype="uint8") ^ pad).tobytes()
    seen = said("a", x=masked), said("b.0", x=pad.tobytes())
    assert verdict(plan(claim("prompt", "a", "b.0")), *seen).broken
    assert not verdict(plan(claim("prompt", "a"), claim("prompt", "b")), *seen).broken


def test_claims_on_other_assets_and_outsiders_are_not_searched() -> None:
    claims = claim("weights", "a"), claim("prompt", "network"), claim("prompt", "reader")
    assert verdict(plan(*claims), said("a", x=WORDS[0])).searched == 0


def test_the_output_is_searched_by_its_text_and_ids() -> None:
    denied = plan(claim("output", "a"))
    assert verdict(denied, said("a", x="so: an answer of some length")).broken
    ids = (700, 12, 88, 1999, 431)
    assert verdict(denied, said("a", x=list(ids)), ids=ids).broken
    assert not verdict(denied, said("a", x=WORDS[0])).broken


def test_what_an_open_answer_shows_of_the_prompt_proves_nothing() -> None:
    echoed = f"you said {WORDS[0]}"
    told = said("a", x=echoed)
    assert not verdict(plan(claim("prompt", "a")), told, text=echoed).broken
    assert verdict(plan(claim("prompt", "a"), claim("output", "a")), told, text=echoed).broken


def test_what_could_not_be_searched_is_said() -> None:
    found = verdict(plan(claim("prompt", "a")))
    assert any("token ids" in each for each in found.unsearched)
    assert any("embedding rows" in each for each in found.unsearched)


def test_a_whole_embedding_on_its_way_is_no_leak_and_its_rows_are() -> None:
    card = read_card(DEMO)
    planter = Planter(card)
    canary = planter.plant(1)
    assert len(canary.ids) >= 6 and all(word in canary.prompt for word in canary.words)
    planted = [Planted(canary, (), "")]
    table = read_rows(card, "model.embed_tokens.weight", tuple(range(card.vocab)))
    np.testing.assert_array_equal(planter.embeddings(canary.ids)["embedding rows"], table[list(canary.ids)])

    def seen(rows: np.ndarray) -> dict[str, list[Seen]]:
        arrays = {"x": Array("float32", rows.shape, rows.tobytes())}
        return {"a": [Seen("a", Entry(kind="message", name="load", arrays=arrays))]}

    denied = plan(claim("prompt", "a"))
    assert not judge(denied, planted, seen(table), planter).broken
    assert judge(denied, planted, seen(table[list(canary.ids)]), planter).broken


def test_canaries_are_the_same_every_time_and_unlike_one_another() -> None:
    planter = Planter(None)
    assert planter.plant(1) == planter.plant(1)
    words = [word for number in range(50) for word in planter.plant(number).words]
    assert len(set(words)) == len(words) and all(len(word) >= 10 for word in words)


def test_only_entries_after_the_first_ones_are_searched(tmp_path: Path) -> None:
    with (tmp_path / "a.view").open("wb") as file:
        for name in ("first", "second", "third"):
            ViewWriter(file).write(Entry(kind="held", name=name))
    assert [each.entry.name for each in entries_after(View("a", tmp_path / "a.view"), 1)] == ["second", "third"]


# -- events


def exchange(*events: Event, most: int = 8, seconds: float = 1.0) -> Exchange:
    made = Exchange(Query(id="q", prompt="p", max_new_tokens=most))
    made.events = [(seconds, event) for event in events]
    return made


def finished(text: str = "a b", ids: tuple[int, ...] = (1, 2), **seconds: float) -> Finished:
    return Finished(
        answer=Answer(text=text, token_ids=ids), **{"total": 0.5, "first_token": 0.1, "offline": 0.0, **seconds}
    )


A, B = Token(id=1, text="a ", at=0.1), Token(id=2, text="b ", at=0.2)
FAILED = Failed(error=Failure(kind="role", message="x"))


def test_an_orderly_answer_has_nothing_wrong() -> None:
    phase = Phase(name="x", party="client"), Phase(name="x", party="client", seconds=0.2)
    assert disorder(exchange(Started(), phase[0], A, B, phase[1], finished())) == []
    assert disorder(exchange(Started(), FAILED)) == []


@pytest.mark.parametrize(
    ("events", "complaint"),
    [
        ((A, B, finished()), "Started"),
        ((), "Started"),
        ((Started(), A, B), "0 events end"),
        ((Started(), A, B, finished(), finished()), "2 events end"),
        ((Started(), A, finished(), B), "comes last"),
        ((Started(), finished(), FAILED), "2 events end"),
        ((Started(), A, finished()), "token_ids"),
        ((Started(), B, A, finished()), "token_ids"),
        ((Started(), A, B, finished(text="a c")), "do not add up"),
        ((Started(), A, B, finished(first_token=0.6)), "first token"),
        ((Started(), A, B, finished(total=3.0)), "more seconds than passed"),
        ((Started(), A, B, finished(total=0.15)), "times of the tokens"),
        ((Started(), Phase(name="x", seconds=0.1), A, B, finished()), "without having begun"),
        ((Started(), Phase(name="x", party="client"), A, B, finished()), "never ends"),
    ],
)
def test_disorder_is_told(events: tuple[Event, ...], complaint: str) -> None:
    assert any(complaint in problem for problem in disorder(exchange(*events)))


def test_more_tokens_than_asked_for_are_told() -> None:
    assert any("max_new_tokens is 1" in each for each in disorder(exchange(Started(), A, B, finished(), most=1)))


# -- traffic and seconds


def counted(source: str = "client", target: str = "a", messages: int = 1, size: int = 50) -> Trace:
    return Trace(links=(LinkCount(source=source, target=target, messages=messages, bytes=size),), rounds=1)


def test_counts_that_agree_have_nothing_wrong() -> None:
    assert miscounted(plan(claim("prompt", "a")), counted(), {"a": [said("a", x=1)]}) == []


@pytest.mark.parametrize(
    ("trace", "seen", "complaint"),
    [
        (counted("a", "b.0"), (), "does not link"),
        (counted(size=0), (said("a"),), "no bytes"),
        (counted(), (said("a"), said("a")), "received 2 messages"),
        (counted(), (), "its view shows none"),
        (Trace(), (), "no message is sent"),
        (msgspec.structs.replace(counted(), rounds=0), (said("a"),), "without a round"),
    ],
)
def test_counts_that_disagree_are_told(trace: Trace, seen: tuple[Seen, ...], complaint: str) -> None:
    views = {"a": list(seen), "b.0": list[Seen]()}
    assert any(complaint in problem for problem in miscounted(plan(claim("prompt", "a")), trace, views))


def test_phases_that_take_longer_than_the_query_are_told() -> None:
    def phase(name: str, seconds: float | None, party: str = "client") -> Phase:
        return Phase(name=name, party=party, seconds=seconds)

    nested = (phase("out", None), phase("in", None), phase("in", 0.3), phase("out", 0.4))
    assert mistimed(exchange(Started(), *nested, A, B, finished()), 0.0) == []
    twice = (phase("x", None), phase("x", 0.4), phase("y", None), phase("y", 0.4))
    assert any("phases take 0.800 s" in each for each in mistimed(exchange(Started(), *twice, A, B, finished()), 0.0))
    at_a_node = (phase("x", None, "a"), phase("x", 9.0, "a"))
    assert mistimed(exchange(Started(), *at_a_node, A, B, finished()), 0.0) == []


# -- what is kept


class Keeper:
    def __init__(self) -> None:
        self.ctx = object()
        self.caches: dict[str, np.ndarray] = {}


def test_what_a_role_keeps_is_counted_by_attribute() -> None:
    role = Keeper()
    before = weigh(role, __name__)  # type: ignore[arg-type]
    assert growth(before, weigh(role, __name__)) == []  # type: ignore[arg-type]
    for number in range(REPEATS):
        role.caches[f"query {number}"] = np.zeros(100)
    grown = growth(before, weigh(role, __name__))  # type: ignore[arg-type]
    assert len(grown) == 1 and "self.caches grew" in grown[0]


def test_bytes_files_and_threads_that_grow_are_told() -> None:
    before = Weight(objects={"self.x": 1}, bytes={"self.x": 0}, descriptors=9, threads=3)
    after = Weight(objects={"self.x": 1}, bytes={"self.x": 8000}, descriptors=9 + REPEATS, threads=3)
    grown = growth(before, after)
    assert any("tensors in self.x grew by 1000 bytes" in each for each in grown)
    assert any("open files grew from 9 to 17" in each for each in grown)
    assert len(grown) == 2


# -- faults


def lost(party: str | None) -> Failure:
    return Failure(kind="party-lost", message="process 1 was killed by signal 9", party=party)


def test_the_right_party_named_in_time_is_enough() -> None:
    blame("layers-1", "killed", lost("layers-1"), took=0.4, within=5)


@pytest.mark.parametrize(
    ("failure", "took", "said"),
    [
        (lost("layers-0"), 0.4, "naming layers-0"),
        (lost(None), 0.4, "naming nobody"),
        (lost("layers-1"), 5.1, "told after 5.1 s"),
    ],
)
def test_another_party_or_a_late_word_is_told(failure: Failure, took: float, said: str) -> None:
    with pytest.raises(Complaint, match=said):
        blame("layers-1", "killed", failure, took, within=5)


def answered(*steps: tuple[int, np.ndarray | None]) -> Exchange:
    """An exchange that took these tokens from these logits."""
    tokens = [Token(id=each, text="t", logits=None if row is None else row.tobytes()) for each, row in steps]
    return exchange(*tokens, finished("t" * len(steps), tuple(token.id for token in tokens)))


LOGITS = np.random.default_rng(7).normal(size=256).astype("<f4")


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        (((1, None), (2, None)), ((1, None), (2, None)), True),
        (((1, None), (2, None)), ((1, None), (3, None)), False),
        (((1, LOGITS), (2, LOGITS)), ((1, LOGITS), (3, LOGITS * 1.001)), True),
        (((1, LOGITS), (2, LOGITS)), ((3, LOGITS * 1.001), (9, LOGITS[::-1])), True),
        (((1, LOGITS), (2, LOGITS)), ((1, LOGITS[::-1]), (3, LOGITS)), False),
        (((1, LOGITS), (2, LOGITS)), ((1, LOGITS), (3, LOGITS + np.float32(2 * ROUNDING))), False),
        (((1, LOGITS), (2, LOGITS)), ((1, LOGITS),), False),
    ],
)
def test_answers_are_alike_but_for_rounding(one: tuple, two: tuple, same: bool) -> None:
    assert alike(answered(*one), answered(*two)) == same == alike(answered(*two), answered(*one))
