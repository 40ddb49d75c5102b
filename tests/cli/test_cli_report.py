"""What people read: the report, tables, live lines, and text that tries to steer the terminal."""

from __future__ import annotations

import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import CLAIM, failed, record, result

from unfed.console.cli.narrate import Narrator
from unfed.console.cli.report import report
from unfed.console.cli.terminal import clean, cut, seconds, size, table, width
from unfed.console.fleet.state import PartyState
from unfed.console.results.record import AuditEntry, Fidelity, RewardSplit, Seconds, news
from unfed.console.runner.notices import Answering, FleetFailed, FleetReady, PartyChanged, ResultReady, Told
from unfed.plugins import Claim, Failure, Note


def lines(text: str, beginning: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(beginning)]


def test_every_prompt_and_answer_is_there() -> None:
    told = report(record())
    assert "p1  a dog that herds   [animal]" in told and "p2  a big town" in told
    assert told.count("animal: collie") == 3
    assert "  plain    0.30 s  10.0 tok/s  right  animal: collie" in told
    assert "  split  FAILED  layers-0: ended by signal 9 (see its log)" in told


def test_head_says_what_was_run() -> None:
    told = report(record(links="wan", concurrency=2, status="interrupted")).splitlines()[0]
    for part in (
        "(interrupted)",
        "profile demo",
        "demo/model (llama, 1.1M parameters)",
        "greedy",
        "links wan",
        "2 queries",
    ):
        assert part in told
    sampled = record(settings={"temperature": 0.7}, seed=3, model=None, profile=None)
    assert "temperature 0.7, seed 3" in report(sampled) and "profile" not in report(sampled).splitlines()[0]


def test_summary_counts_and_takes_medians() -> None:
    made = record(
        results=[
            result("split", "p1", fidelity=Fidelity("plain", 0.5, 0.25, 0.125), seconds=Seconds(0.4, 0, 0.1, 1.0, 0.5)),
            result("split", "p2", fidelity=Fidelity("plain", 1.0, 0.75, 0.5), seconds=Seconds(0.4, 0, 0.3, 3.0, 0.25)),
        ]
    )
    row = lines(report(made), "split  ")[-1]
    cells = row.split("  ")
    assert [cell.strip() for cell in cells if cell.strip()] == [
        *("split", "2/2", "2/2", "0.750", "0.5", "0.5", "0.40 s", "0", "0.20 s", "2.00 s", "3.0", "900 B", "2"),
        "prompt: exposed",
    ]


def test_what_was_made_ahead_has_a_column_where_there_is_any() -> None:
    made = report(record(results=[result("mpc", "p1", seconds=Seconds(0.4, 0.1, ahead=0.8)), result("split", "p1")]))
    head, first, second = (lines(made, start)[-1] for start in ("variant", "mpc ", "split "))
    at = head.index("ahead") + len("ahead")
    assert head.index("setup") < at < head.index("offline")
    assert (first[:at].split()[-2:], second[:at].split()[-1]) == (["0.80", "s"], "0")
    assert "Ahead is time spent before the query was asked" in made
    assert "ahead" not in report(record(results=[result("split", "p1")])).lower()


def test_an_answer_that_parts_from_plain_says_at_which_margin() -> None:
    apart = Fidelity(reference="plain", token_agreement=0.5, margin=0.0123)
    text = report(record(results=[result("split", "p1", fidelity=apart), result("split", "p2")]))
    assert [line.count("margin of 0.012") for line in lines(text, "  split")] == [1, 0]


def test_failed_results_count_and_spoil_no_figure() -> None:
    row = lines(report(record(results=[failed("split", "p1"), failed("split", "p2")])), "split  ")[-1]
    assert "0/2" in row and "nan" not in row


def test_rewards_are_means() -> None:
    made = record(
        results=[
            result("split", "p1", rewards=[RewardSplit(scheme="work", shares={"a": 1.0, "b": 0.0})]),
            result("split", "p2", rewards=[RewardSplit(scheme="work", shares={"a": 0.5, "b": 0.5})]),
        ]
    )
    assert "a 75.0%, b 25.0%" in report(made)


def test_claims_stand_with_what_attacks_found() -> None:
    held = Claim(
        asset="output",
        property="integrity",
        against=("a", "b"),
        basis="statistical",
        parameters={"bits": 40.0},
        assumes=("x",),
    )
    attacked = [AuditEntry(party="layers-0", attack="nearest", token_recovery=0.5)]
    more = [
        AuditEntry(party="layers-0", attack="nearest", token_recovery=0.97),
        AuditEntry(party="layers-1", reason="no attack available"),
    ]
    told = report(
        record(
            results=[
                result("split", "p1", guarantee=[CLAIM, held], audit=attacked),
                result("split", "p2", guarantee=[CLAIM, held], audit=more),
            ]
        )
    )
    assert "guarantee of split (attacked: layers-1: no attack available, layers-0: nearest recovers 97%)" in told
    assert "no confidentiality of the prompt against layers-0; reveals activations, length" in told
    assert "integrity of the output against a + b: statistical, bits = 40; assumes x" in told
    assert "(attacked: not in this run)" in report(record(results=[result()]))


def test_simulated_is_never_drawn_like_real() -> None:
    told = report(record(results=[result(mode="simulated")]))
    assert "SIMULATED" in told and "split (simulated)" in told


def test_interrupted_run_without_results_is_a_report_too() -> None:
    assert report(record(results=[], status="interrupted")).startswith("run 2026")


def test_lines_keep_to_the_width() -> None:
    long = record(results=[result(answer=msgspec.structs.replace(result().answer, text="wide 日本語 " * 50))])
    prompts = [line for line in report(long, width=60).split("\n\n")[1].splitlines()]
    assert prompts and all(width(line) <= 60 for line in prompts)


# text


@given(st.text(max_size=50))
def test_clean_text_cannot_steer(text: str) -> None:
    shown = clean(text)
    assert not any(unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") for each in shown)
    assert not set(shown) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u2068")


def test_clean_shows_what_it_took() -> None:
    assert clean("a\x1b[31m\n\t\r\x00\u202e é日") == "a\\x1b[31m\\n\\t\\r\\x00\\u202e é日"


@given(st.text(alphabet="ab日é", max_size=20), st.integers(0, 12))
def test_cut_fits(text: str, room: int) -> None:
    short = cut(text, room)
    assert width(short) <= room
    assert short == text if width(text) <= room else short == "" or short.endswith("…")


def test_table_aligns_wide_characters() -> None:
    told = table(["a", "n", "b"], [["日本", "1", "x"], ["y", "100", "z\x07"]], right=(1,))
    assert told.splitlines() == ["a       n  b", "日本    1  x", "y     100  z\\x07"]


@pytest.mark.parametrize(
    ("value", "told"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2.5e6, "2.5 MB"), (3e12, "3000.0 GB")]
)
def test_sizes(value: float, told: str) -> None:
    assert size(value) == told


def test_seconds() -> None:
    assert (seconds(0.0123), seconds(1.5)) == ("12.3 ms", "1.50 s")


# narration


def test_narrator_says_what_matters(capsys: pytest.CaptureFixture[str]) -> None:
    say = Narrator()
    state = PartyState(variant="split", backend="split", name="layers-1", role="Layers", trusted=False)
    say(FleetReady("plain", 0.25))
    say(FleetFailed("split", Failure(kind="fleet", message="the port is taken", hint="free\x1b it")))
    for health in ("starting", "ready", "ready", "hung", "ready", "lost"):
        say(PartyChanged(msgspec.structs.replace(state, health=health, note="signal 9" if health == "lost" else "")))
    note = Note(kind="retry", text="asked another\x1b replica", party="layers-1")
    say(Answering("split", "p1", note))
    say(Told(news("split", Note(kind="caught", text="it failed a spot\x1b check", party="layers-1"))))
    say(ResultReady(result("plain")))
    say.end()
    said = capsys.readouterr()
    assert said.out == "" and say.unstarted == {"split"}
    assert said.err.splitlines() == [
        "plain: ready in 0.25 s",
        "split: could not start: the port is taken (free\\x1b it)",
        "split/layers-1: hung",
        "split/layers-1: ready",
        "split/layers-1: lost (signal 9)",
        "split · p1 · retry: layers-1: asked another\\x1b replica",
        "split · no query · caught: layers-1: it failed a spot\\x1b check",
        "[1/0] plain p1 0.30 s",
    ]


def test_quiet_narrator_still_knows_what_failed(capsys: pytest.CaptureFixture[str]) -> None:
    say = Narrator(quiet=True)
    say(FleetFailed("split", Failure(kind="fleet", message="x")))
    assert say.unstarted == {"split"} and capsys.readouterr().err == ""
