"""What screens show, computed without textual."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_backends import ALL, CARD, Lost, Split

from unfed.console.app.board import Board
from unfed.console.app.columns import Column, first_difference
from unfed.console.app.figures import answer, facts, numbers, phases, promises
from unfed.console.app.figures.badges import badge
from unfed.console.app.figures.cards import of_backend
from unfed.console.app.figures.grid import grid, table
from unfed.console.app.figures.latency import links
from unfed.console.app.figures.layout import layout
from unfed.console.app.figures.parties import about, ordered, row, summary
from unfed.console.app.figures.routes import routes
from unfed.console.app.figures.text import clean, clean_line, length, names
from unfed.console.app.history import History
from unfed.console.fleet.state import PartyState
from unfed.console.results.record import (
    AnswerInfo,
    AuditEntry,
    Fidelity,
    News,
    Result,
    RewardSplit,
    Seconds,
    Traffic,
    Utility,
    ViewInfo,
    noted,
)
from unfed.console.runner.notices import Answering, FleetFailed, FleetReady, FleetStarting, ResultReady, Told
from unfed.plugins import Claim, Failed, Failure, Note, Phase, Route, Started, Token


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0.0, "0 s"),
        (0.00082, "820 µs"),
        (0.0741, "74.1 ms"),
        (0.4124, "412 ms"),
        (0.9996, "1.00 s"),
        (1.2378, "1.24 s"),
        (59.97, "1 min 00 s"),
        (124.2, "2 min 04 s"),
        (float("inf"), "–"),
    ],
)
def test_seconds_have_three_digits_and_one_unit(value, shown):
    assert numbers.seconds(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (12_400, "12.4 kB"), (999_600, "1.00 MB"), (5e15, "5,000 TB")],
)
def test_sizes_are_decimal(value, shown):
    assert numbers.size(value) == shown


def test_a_share_is_never_rounded_up_to_all():
    assert numbers.percent(0.9999) == "99.9%"
    assert numbers.percent(1.0) == "100%"
    assert numbers.percent(0.004) == "0.4%"
    assert numbers.percent(1 / 3) == "33%"


@given(st.floats(min_value=0, max_value=1e12))
def test_every_size_and_duration_is_short(value):
    assert len(numbers.size(value)) <= 9
    assert len(numbers.seconds(value)) <= 24


@given(st.text())
def test_nothing_that_a_terminal_obeys_survives(text):
    shown = clean(text)
    assert not any(ord(c) < 0x20 and c != "\n" for c in shown)
    assert not any(0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in shown)
    assert not {"\u202e", "\u2066", "\ufeff"} & set(shown)
    assert "\n" not in clean_line(text)
    shown.encode()


def test_what_people_write_stays_as_it_is():
    for text in ("[bold]not markup[/]", "naïve 日本語 🐘", "a\nb"):
        assert clean(text) == text
    assert clean("\x1b[31mred\x07\tx\r\n") == "␛[31mred␇    x\n"


def test_runs_of_names_are_short():
    assert names(["client", "layers-0", "layers-1", "layers-2"]) == "client, layers-0…2"
    assert names(["a-0", "a-2", "b"]) == "a-0, a-2, b"
    assert names([]) == ""


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=3, max_size=3), st.integers(min_value=3, max_value=200))
def test_the_phase_bar_fills_its_width_and_shows_every_phase(parts, width):
    filled = phases.cells(parts, width)
    assert sum(filled) == (width if sum(parts) > 0 else 0)
    assert all((cells > 0) == (part > 0) for cells, part in zip(filled, parts, strict=True))
    assert length(phases.bar(parts, width)) == width


def test_the_legend_says_everything_in_words_at_every_width():
    for width in (30, 36, 50, 78):
        parts = (0.412, 0.0, 0.0741)
        lines = phases.legend(parts, width, phases.fits(parts, width))
        told = "\n".join("".join(text for text, _ in line) for line in lines)
        assert all(word in told for word in ("setup", "offline", "online", "412 ms", "–", "74.1 ms"))
        assert all(length(line) <= width for line in lines)


def test_the_badge_names_the_weakest_promise_and_to_whom():
    assert badge(_plan("plain").guarantee).words == "prompt exposed to server"
    assert badge(_plan("split").guarantee).words == "prompt: obfuscated"
    assert badge(()).words == "prompt: no claim"
    assert badge(()).tone == "bad"
    # a claim against the network alone says nothing about parties
    network = Claim(asset="prompt", property="confidentiality", against=("network",), basis="computational")
    assert badge([network]).words == "prompt: no claim"


def test_the_badge_tells_one_party_from_parties_that_pool():
    prompt = partial(Claim, asset="prompt", property="confidentiality")
    alone = [prompt(against=(name,), basis="computational") for name in ("a-0", "a-1")]
    mark = badge([*alone, prompt(against=("a-0", "a-1"), basis="none")])
    assert (mark.text, mark.tone, mark.who) == ("◕ prompt: computational, unless parties pool", "fair", "a-0…1")
    assert badge(alone).tone == "good"
    assert badge([*alone, prompt(against=("a-0", "a-1"), basis="statistical")]).words.endswith(", pooled: statistical")
    assert badge([prompt(against=("a-0", "a-1"), basis="none")]).words == "prompt exposed to a-0…1"
    rows = ["".join(text for text, _ in line) for line in mark.lines(30)]
    assert " ".join(rows) == mark.text, "nothing may be cut off: pooling stands last"
    column = _column("split")
    column.guarantee = (*alone, prompt(against=("a-0", "a-1"), basis="none"))
    board = Board()
    board.show([column, _column("plain")])
    assert layout(board, 0.0, 30, None, room=8).badge == len(rows) == 2


def test_a_simulated_promise_never_looks_like_a_real_one():
    guarantee = _plan("veil").guarantee
    real, simulated = badge(guarantee), badge(guarantee, "simulated")
    assert (real.sign, real.tone) != (simulated.sign, simulated.tone)
    assert "simulated" in simulated.words
    lines = promises.lines(guarantee, 60, "simulated")
    assert lines[0][0] == ("≈ prompt", "poor")
    column = _column("veil")
    assert {tone for line in facts.figures(column, 0.0, 70) for text, tone in line if text.strip()} == {"dim", "poor"}


def test_the_same_claim_against_many_coalitions_is_said_once():
    every = [("a-0", "a-1"), ("a-0",), ("a-1",)]
    assert promises.against([*every, ("network",)]) == "a-0…1 alone or pooled, network"
    assert promises.against([("a-0",), ("a-1",)]) == "a-0…1 each"
    assert promises.against([("a-0", "a-1")]) == "a-0…1 pooled"
    claims = [Claim(asset="prompt", property="confidentiality", against=who, basis="none") for who in every]
    assert len(promises.lines(claims, 80)) == 1


def test_who_sees_what_comes_from_the_claims():
    guarantee = _plan("split").guarantee
    assert promises.sees(guarantee, "layers-0") == "activations, length; no promise on weights"
    assert promises.sees(guarantee, "layers-1") == "activations, length"
    assert promises.sees(guarantee, "stranger") == "no claim"
    assert promises.sees(_plan("veil").guarantee, "server") == "nothing, it is claimed"
    assert promises.sees(_plan("plain").guarantee, "server") == "no promise on prompt, output, weights"


def test_an_asset_without_a_promise_is_told_apart_from_what_is_seen():
    bare = partial(Claim, property="confidentiality", against=("layers-0",), basis="none")
    claims = [bare(asset="prompt", reveals=("activations", "length")), bare(asset="weights", reveals=("layers 0-1",))]
    assert promises.sees(claims, "layers-0") == "activations, length, layers 0-1; no promise on prompt, weights"


def test_one_is_no_plural():
    claim = Claim(asset="weights", property="confidentiality", against=("a",), basis="none", reveals=("layers 2-2",))
    assert promises.sees([claim], "a") == "layer 2; no promise on weights"
    assert promises.sentence(claim, [claim.against]) == "exposed to a; reveals layer 2"
    wide = msgspec.structs.replace(claim, reveals=("layers 2-21", "layers 12-2"))
    assert promises.sees([wide], "a").startswith("layers 2-21, layers 12-2;")
    assert [numbers.parties(many) for many in (0, 1, 6)] == ["0 parties", "1 party", "6 parties"]


def test_the_first_different_token_is_found_when_there_is_one():
    assert first_difference([1, 2, 3], [1, 2, 3], True) is None
    assert first_difference([1, 2], [1, 2, 3], False) is None
    assert first_difference([1, 2], [1, 2, 3], True) == 2
    assert first_difference([1, 9, 3], [1, 2], False) == 1


def test_a_column_tells_its_story_from_notices_alone():
    board = Board()
    board.show([_column("plain"), _column("split")])
    board.begin("p1", "an elephant", race=False)
    board.hear(FleetStarting("split"), 10.0)
    split = board.columns["split"]
    assert answer.standing(split, 12.5) == ("starting 4 parties 2.5 s", "accent")
    board.hear(FleetReady("split", 0.7), 12.6)
    for event in (Started(), Phase(name="prefill", party="client"), Token(id=5, text=" ani", at=0.1)):
        board.hear(Answering("split", "p1", event), 13.0)
    assert answer.standing(split, 13.5) == ("prefill · 1 token", "accent")
    assert split.seconds(13.5).total == pytest.approx(0.5)
    board.hear(Answering("split", "p1", Phase(name="shares", kind="offline", party="client")), 14.0)
    assert split.seconds(16.0).offline == pytest.approx(2.0)
    assert split.seconds(16.0).total == pytest.approx(1.0)
    board.hear(Answering("split", "p1", Phase(name="forward", kind="offline", party="layers-0")), 16.0)
    assert "forward" not in split.open, "a node's phase lies within the client's"
    lost = Failure(kind="party-lost", message="killed", party="layers-1")
    board.hear(Answering("split", "p1", Failed(error=lost)), 16.0)
    assert answer.standing(split, 17.0) == ("party lost", "bad")
    board.end()
    assert board.columns["plain"].stage == "cancelled", "it was never asked"
    assert not any(column.live for column in board.columns.values())


def test_notes_are_shown_while_the_answer_comes_and_with_the_result():
    board = Board()
    board.show([_column("split")])
    board.begin("p1", "an elephant", race=False)
    note = Note(kind="retry", text="asked \x1b[31manother replica", party="layers-1", at=0.5)
    board.hear(Answering("split", "p1", note), 13.0)
    split = board.columns["split"]
    shown = [[("500 ms  retry", "dim"), ("  ", "plain"), ("layers-1: asked ␛[31manother replica", "plain")]]
    assert [list(line) for line in facts.notes(split.notes, 60)] == shown
    assert any("on the way" in text for line in facts.below(split, 60) for text, _ in line)
    result = Result(backend="split", variant="split", prompt_id="p1", notes=[noted(note), noted(note)])
    board.hear(ResultReady(result), 14.0)
    assert [list(line) for line in facts.notes(split.notes, 60)] == shown * 2
    board.begin("p2", "a mouse", race=False)
    assert facts.notes(split.notes, 60) == []


def test_a_way_wraps_before_arrows_and_shows_the_last_notes():
    board = Board()
    board.show([_column("plain"), _column("split")])
    board.begin("p1", "an elephant", race=False)
    steps = (("guard",), ("relay-0", "relay-1"), ("layers\x1b-0",), ("guard",))
    board.hear(Answering("split", "p1", Started()), 1.0)
    board.hear(Answering("split", "p1", Route(steps=steps, seconds=0.0093)), 1.0)
    for at in range(5):
        board.hear(Answering("split", "p1", Note(kind="retry", text=f"lost {at}", at=at + 1.0)), 2.0)
    assert routes(board, 40, 3) == [], "its fleet is not there"
    board.parties = {("split", name): _state("split", name) for name in ("guard", "relay-0", "relay-1")}
    board.parties["split", "relay-1"].health = "restarting"
    lines = routes(board, 40, 3)
    assert ["".join(text for text, _ in line) for line in lines] == [
        "split  client → guard",
        "  → relay-0 | ◌ relay-1 → layers␛-0",
        "  → guard → client   9.30 ms a token",
        "3.00 s  retry  lost 2",
        "4.00 s  retry  lost 3",
        "5.00 s  retry  lost 4",
    ]
    assert ("◌ relay-1", "accent") in lines[1] and ("relay-0", "plain") in lines[1]
    board.end()
    assert ("relay-0", "dim") in routes(board, 40, 3)[1], "nothing goes this way any more"
    board.hear(FleetStarting("split"), 3.0)
    assert routes(board, 40, 3) == [], "a fresh fleet has told none"


def test_arrows_bear_what_links_take_one_way():
    """Half of a round trip, whichever end has measured it; the slowest where links are side by side."""
    board = Board()
    board.show([_column("split")])
    board.hear(Answering("split", "p1", Route(steps=(("guard",), ("relay-0", "relay-1"), ("layers-0",)))), 1.0)
    board.parties = {("split", name): _state("split", name) for name in ("client", "guard", "relay-0", "relay-1")}
    board.parties["split", "layers-0"] = _state("split", "layers-0")
    board.parties["other", "guard"] = _state("other", "guard")
    board.parties["other", "guard"].round_trips = {"layers-0": 9.0}
    assert _told(routes(board, 80, 3)) == "split  client → guard → relay-0 | relay-1 → layers-0 → client", (
        "none is known"
    )
    board.parties["split", "client"].round_trips = {"guard": 0.0003, "layers-0": 0.04}
    board.parties["split", "guard"].round_trips = {"relay-0": 0.005, "relay-1": 0.0044}
    board.parties["split", "relay-1"].round_trips = {"layers-0": 1e-6}
    (line,) = routes(board, 120, 3)
    assert _told([line]) == (
        "split  client ─0.15→ guard ─2.5→ relay-0 | relay-1 ─0.00→ layers-0 ─20→ client"
        "   arrows: ms one way, half a round trip"
    )
    guard = board.parties["split", "guard"]
    assert _told([about(guard, links(board.parties, guard))]).endswith("R  ms to client 0.15, relay-0 2.5, relay-1 2.2")
    board.parties["split", "relay-0"].health = "hung"
    assert "guard ─2.2→ ◐ relay-0 | relay-1" in _told(routes(board, 120, 3)), "the other one is still there"
    board.parties["split", "guard"].health = "lost"
    assert "client → ✗ guard → ◐ relay-0 | relay-1 ─0.00→" in _told(routes(board, 120, 3))
    assert links(board.parties, guard) == {}


def test_what_is_no_querys_is_shown_with_the_time_of_day():
    board = Board()
    board.show([_column("plain"), _column("split")])
    told = [
        News(variant=variant, kind="check", text=text, party="verifier", at=_utc(14, 0, at))
        for at, (variant, text) in enumerate([("split", "a\x1b decoy"), ("split", "another"), ("plain", "nothing")])
    ]
    assert board.sync([_state("split", "guard")], told) and not board.sync([_state("split", "guard")], told)
    assert _told(routes(board, 60, 2)).splitlines() == [
        "split",
        "14:00:00  check  verifier: a␛ decoy",
        "14:00:01  check  verifier: another",
    ], "of fleets that are there, and no way is known"
    board.begin("p1", "an elephant", race=False)
    for each in told:  # at once, where a run goes on
        board.hear(Told(each), 1.0)
    assert board.news == told
    board.news = []
    board.hear(Told(told[0]), 1.0)
    board.hear(Told(told[1]), 1.0)
    board.hear(Answering("split", "p1", Started()), 1.0)
    board.hear(Answering("split", "p1", Route(steps=(("guard",),))), 1.0)
    board.hear(Answering("split", "p1", Note(kind="retry", text="lost", at=1.0)), 1.0)
    assert [line[0][0] for line in routes(board, 60, 2)[1:]] == ["14:00:01  check", "1.00 s  retry"]
    board.end()
    assert [line[0][0] for line in routes(board, 60, 2)[1:]] == ["14:00:00  check", "14:00:01  check"]
    assert board.sync([], []) and routes(board, 60, 2) != [], "the party is shown until its end is told"
    board.parties.clear()
    assert routes(board, 60, 2) == []


def _utc(*of_day):
    """A time of day here, as records hold it."""
    return datetime(2026, 1, 1, *of_day).astimezone(UTC).isoformat(timespec="milliseconds")


def test_a_fleet_that_does_not_start_fails_its_column_alone():
    board = Board()
    board.show([_column("plain"), _column("split")])
    board.begin("p1", "x", race=True)
    board.hear(FleetFailed("split", Failure(kind="fleet", message="no", party="layers-0", hint="look")), 1.0)
    assert board.columns["split"].stage == "failed"
    assert board.columns["plain"].live


@pytest.mark.parametrize("width", [36, 45, 78])
def test_what_was_made_ahead_stands_among_the_figures(width):
    """At first sight: the bar shows none of it, since nobody waited for it."""
    column = _done()
    assert "made ahead" not in _told(facts.figures(column, 0.0, width))
    column.result.seconds.ahead = 0.8
    told = facts.figures(column, 0.0, width)
    assert "made ahead" in _told(told) and "800 ms" in _told(told)
    assert all(length(line) <= width for line in told)


def _told(lines):
    return "\n".join("".join(text for text, _ in line) for line in lines)


def test_figures_fit_both_widths_and_lose_no_label():
    column = _done()
    for width in (36, 45, 78):
        lines = facts.figures(column, 0.0, width, "animal")
        told = "\n".join("".join(text for text, _ in line) for line in lines)
        assert all(length(line) <= width for line in lines), (width, told)
        for figure in ("12.3 ms", "3.10 ms", "24.7 ms", "30", "18.6 kB", "20", "60%", "2.1e-09", "1.4e-06", "✓ animal"):
            assert figure in told
        assert "…" not in told


def test_a_failed_result_shows_no_figure_that_was_not_measured():
    column = _column("split")
    error = Failure(kind="fleet", message="x")
    column.conclude(Result(backend="split", variant="split", prompt_id="p", status="failed", error=error))
    told = "\n".join("".join(text for text, _ in line) for line in facts.figures(column, 0.0, 40, "animal"))
    assert "0" not in told
    assert "animal" not in told


def test_a_scheme_that_failed_and_an_attack_that_is_missing_say_why():
    column = _done()
    column.result.rewards = [RewardSplit(scheme="work", shares={}, reason="ValueError: no work")]
    column.result.views = [ViewInfo(party="layers-0", path="x", query="q", entries=2, bytes=2048)]
    column.result.audit = [AuditEntry(party="layers-0", reason="no attack available"), AuditEntry(party="layers-1")]
    told = "\n".join("".join(text for text, _ in line) for line in facts.below(column, 70))
    assert "work  ValueError: no work" in told
    assert "no attack available" in told and "2.05 kB" in told


def test_columns_share_their_rows():
    board = Board()
    board.show([_column("plain"), _column("split"), _column("veil")])
    board.columns["split"] = _done()
    shared = layout(board, 0.0, 36, None, room=8)
    assert shared.badge == 3, "a simulated column has a line more, and its badge takes two, so all have"
    assert shared.figures == 5
    board.columns["split"].fail(Failure(kind="role", message="word " * 200))
    assert layout(board, 0.0, 36, None, room=8).answer == 8


def test_an_answer_that_is_not_its_pieces_is_shown_whole():
    column = _done()
    column.pieces = []
    assert answer.answer(column, None) == (("animal: elephant", "plain"),)


def test_where_an_answer_leaves_the_reference_is_marked():
    column = _done()
    assert answer.answer(column, 1) == (("animal", "plain"), (": elephant", "poor"))


def test_a_hint_that_holds_a_log_keeps_its_lines():
    error = Failure(kind="party-lost", message="gone", party="n", hint="its log ends:\nline one\nline two")
    told = ["".join(text for text, _ in line) for line in answer.failure(error, 60)]
    assert told == ["✗ n: party lost", "gone", "→ its log ends:", "  line one", "  line two"]


def test_parties_are_listed_client_first_and_numbers_in_order():
    states = [_state("split", name) for name in ("layers-10", "layers-2", "client")] + [_state("plain", "server")]
    parties = {(state.variant, state.name): state for state in states}
    assert ordered(parties) == [
        ("split", "client"),
        ("split", "layers-2"),
        ("split", "layers-10"),
        ("plain", "server"),
    ]
    assert ("1 lost", "bad") in [
        (text.strip(), tone) for text, tone in summary([*states, _state("split", "x", health="lost")])
    ]
    assert row(_state("split", "\x1b[31mx"))[1][0] == "␛[31mx"


def test_stopped_parties_leave_and_lost_ones_stay():
    board = Board()
    for name, health in (("a", "stopped"), ("b", "lost"), ("c", "ready")):
        board.parties[("v", name)] = _state("v", name, health=health)
    assert board.sync([_state("v", "c")], [])
    assert set(board.parties) == {("v", "b"), ("v", "c")}
    assert not board.sync([_state("v", "c")], [])


def test_a_card_says_what_is_missing_and_how_to_get_it():
    card = of_backend(Lost, None, Lost.missing(), False)
    assert card.missing == ("no_such_module_anywhere",)
    assert card.install == ("pip install lattice-oracle",)
    assert not card.usable
    assert of_backend(Split, _plan("split"), (), True).parties == 4


@given(st.integers(min_value=20, max_value=120))
def test_grids_and_tables_are_as_wide_as_they_are_told(width):
    cells = [("first token", "12.3 ms", "plain"), ("total", "1 s", "plain")]
    assert {length(line) for line in grid((cells, cells[:1]), width, gap=2)} <= {width, width - 1}
    rows = [[("layers-0", "plain"), ("a long list of things", "dim"), ("33%", "plain")]]
    assert all(length(line) <= max(width, 23) for line in table(["node", "sees", "equal"], rows, width))


def test_history_goes_up_down_and_back_to_the_draft():
    history = History()
    assert history.older("draft") is None
    history.add("one")
    history.add("two")
    history.add("two")
    assert history.older("draft") == "two"
    assert history.older("two") == "one"
    assert history.older("one") is None
    assert history.newer() == "two"
    assert history.newer() == "draft"
    assert history.newer() is None


def _plan(name):
    backend = ALL[name]
    return backend().plan({"model": CARD}, backend.Options()).check()


def test_a_margin_is_shown_where_an_answer_parts_from_plain():
    column = _done()
    assert "margin" not in dict((name, value) for name, value, _ in facts.quality(column, None, False))
    column.result.fidelity.margin = 0.0123
    assert ("margin", "0.012", "plain") in facts.quality(column, None, False)


def _column(name):
    plan = _plan(name)
    column = Column(variant=name, backend=name, title=ALL[name].title)
    column.mode, column.guarantee, column.parties = plan.mode, plan.guarantee, plan.processes()
    return column


def _done():
    column = _column("split")
    for index, text in enumerate((" animal", ":", " elephant")):
        column.hear(Token(id=index, text=text, at=0.01 * index), 0.0)
    result = Result(backend="split", variant="split", prompt_id="p", guarantee=list(column.guarantee))
    result.answer = AnswerInfo(text=" animal: elephant", token_ids=[0, 1, 2])
    result.seconds = Seconds(setup=0.4, first_token=0.0123, total=0.0247, per_token=0.0031)
    result.traffic = Traffic(messages=30, bytes=18_600, rounds=20)
    result.fidelity = Fidelity(reference="plain", token_agreement=0.6, mean_kl=2.1e-9, max_logit_error=1.4e-6)
    result.utility = Utility(correct=True)
    board = Board()
    board.columns = {"split": column}
    board.hear(ResultReady(result), 0.0)
    return column


def _state(variant, name, health="ready"):
    return PartyState(variant=variant, backend=variant, name=name, role="R", trusted=name == "client", health=health)
