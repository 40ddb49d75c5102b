"""The document, the table, and how the bench ends."""

import json
import os
import signal
import sys
import types

import pytest
from bench import run
from bench.measure import Bar, Rounds
from bench.report import Report, figure, table


def row(name="wire", ours=100.0, bars=()):
    rounds = Rounds("a", "b")
    rounds.taken, rounds.wanted = [{"a": ours, "b": 400.0}] * 3, 3
    return rounds.row("a", "b", name=name, against="the peer", unit="µs", bars=bars)


@pytest.fixture
def parts(monkeypatch):
    """Parts of our own in place of the real ones: name → what it does."""

    def put(**found):
        monkeypatch.setattr(run, "PARTS", dict.fromkeys(found, "a part of a test"))
        for name, measure in found.items():
            monkeypatch.setitem(sys.modules, f"bench.part_{name}", types.SimpleNamespace(measure=measure))

    monkeypatch.setattr(os, "environ", dict(os.environ))
    return put


async def good(report, folder):
    assert folder.is_dir()
    report.add(row("good", bars=[Bar("ours", 50)]))


async def broken(report, folder):
    raise RuntimeError("the peer ended")


async def interrupted(report, folder):
    report.add(row("before"))
    os.kill(os.getpid(), signal.SIGINT)
    await __import__("asyncio").Event().wait()


def test_rows_have_the_keys_that_readers_count_on(tmp_path, capsys):
    report = Report(tmp_path / "deep" / "bench.json", ["wire"])
    report.add(row())
    report.write(partial=False)
    document = json.loads((tmp_path / "deep" / "bench.json").read_text())
    assert document["status"] == "complete"
    assert {"name", "against", "ours", "peer", "ratio", "unit", "runs", "max_error"} <= document["rows"][0].keys()
    assert document["rows"][0]["ratio"] == 4.0
    assert document["rows"][0]["max_error"] is None
    assert {"cpu", "cores", "load"} <= document["machine"].keys()
    assert document["versions"]["torch"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["bench.json"]
    assert capsys.readouterr().out == ""  # progress is narration


def test_the_table_says_plainly_which_bars_are_missed():
    text = table(
        [row("one", bars=[Bar("ours", 150)]), row("two", ours=300.0, bars=[Bar("ratio", 3)])], [], partial=True
    )
    assert "≤ 150 µs: met" in text
    assert "ratio ≥ 3: MISSED" in text
    assert "1 of 2 bars met; MISSED: two" in text
    assert "PARTIAL" in text


def test_a_busy_machine_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    for load, told in ((0.3, False), (5.2, True)):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, 0.0, 0.0))
        report = Report(tmp_path / "b.json", ["wire"])
        assert bool(report.busy()) is told
        assert report.document(partial=False)["machine"]["load_before"] == load
    assert "NOTE: load 5.2" in table([], [], partial=False, warning="load 5.2")


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (1234.5, "1234"), (142.4, "142"), (18.52, "18.5"), (1.25, "1.25"), (0.0873, "0.0873")]
)
def test_figures(value, text):
    assert figure(value) == text


def test_a_missed_bar_is_no_failure(parts, tmp_path, capsys):
    parts(good=good)
    assert run.main(["--out", str(tmp_path / "b.json")]) == 0
    assert "MISSED: good" in capsys.readouterr().out
    assert json.loads((tmp_path / "b.json").read_text())["rows"][0]["met"] is False


def test_a_part_that_fails_leaves_the_others_alone(parts, tmp_path, capsys):
    parts(broken=broken, good=good)
    assert run.main(["--out", str(tmp_path / "b.json")]) == 1
    document = json.loads((tmp_path / "b.json").read_text())
    assert document["failed"] == [{"part": "broken", "error": "RuntimeError: the peer ended"}]
    assert [each["name"] for each in document["rows"]] == ["good"]
    assert "broken: FAILED" in capsys.readouterr().out


def test_an_interruption_writes_what_is_there(parts, tmp_path, capsys):
    parts(interrupted=interrupted, good=good)
    assert run.main(["--out", str(tmp_path / "b.json")]) == 130
    document = json.loads((tmp_path / "b.json").read_text())
    assert document["status"] == "partial"
    assert [each["name"] for each in document["rows"]] == ["before"]
    assert "PARTIAL" in capsys.readouterr().out


def test_only_one_part_runs(parts, tmp_path):
    parts(broken=broken, good=good)
    assert run.main(["--only", "good", "--out", str(tmp_path / "b.json")]) == 0
    assert json.loads((tmp_path / "b.json").read_text())["parts"] == ["good"]


@pytest.mark.parametrize(("word", "hint"), [("wirre", "did you mean 'wire'?"), ("zzz", "known: wire, decode")])
def test_an_unknown_part_is_refused_with_the_nearest(word, hint, tmp_path, capsys):
    assert run.main(["--only", word, "--out", str(tmp_path / "b.json")]) == 2
    assert hint in capsys.readouterr().err
    assert not (tmp_path / "b.json").exists()


def test_a_file_that_cannot_be_written_is_said_at_once(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run.main(["--out", str(tmp_path / "file" / "b.json")]) == 2
    assert "cannot write" in capsys.readouterr().err
