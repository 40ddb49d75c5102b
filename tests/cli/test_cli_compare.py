"""`compare` as a process, over a scripted session: exit codes, streams, signals, files."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from unfed.console.results.check import faults
from unfed.console.results.store import Store

SCRIPT = str(Path(__file__).parent.parent / "support" / "scripted_console.py")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNFED_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("UNFED_CONFIG_DIR", str(tmp_path / "config"))
    return tmp_path / "state"


BOTH = ("--profile", "demo", "--backend", "plain", "--backend", "split")


def compare(*arguments: str, **changed: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, "compare", *arguments], capture_output=True, text=True, timeout=60, **changed
    )


class Started:
    """A `compare` that goes on until it is told otherwise; `until` waits for a line on its stderr."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, SCRIPT, "compare", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.said: list[str] = []

    def until(self, text: str) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if text in line:
                return
        raise AssertionError(f"{text!r} was never said: {self.said}")

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, "".join(self.said) + err


@pytest.fixture
def started() -> Iterator[Any]:
    running: list[Started] = []

    def start(*arguments: str) -> Started:
        running.append(Started(*arguments))
        return running[-1]

    yield start
    for each in running:
        if each.process.poll() is None:
            each.process.kill()
            each.process.communicate()


def no_traceback(text: str) -> None:
    assert "Traceback" not in text and 'File "' not in text


# exit codes


@pytest.mark.parametrize(
    ("prompts", "code"),
    [
        (["fine", "fine too"], 0),
        (["fine", "lose one"], 1),
        (["fine", "overlong"], 1),
        (["overlong", "overlong too"], 2),
        (["lose", "overlong"], 1),
        (["nofleet for split"], 1),
        (["nofleets at all", "two"], 3),
        (["bug here"], 1),
    ],
)
def test_exit_codes(prompts: list[str], code: int) -> None:
    done = compare(*BOTH, *(part for prompt in prompts for part in ("--prompt", prompt)))
    assert done.returncode == code, done.stderr
    no_traceback(done.stderr)


def test_lost_party_is_named_and_the_other_variant_is_whole() -> None:
    done = compare(*BOTH, "--prompt", "lose it", "--json", "-")
    plain, split = json.loads(done.stdout)["results"]
    assert plain["status"] == "ok"
    assert split["error"] == {
        "kind": "party-lost", "message": "ended by signal 9", "party": "layers-1", "hint": "see its log",
    }  # fmt: skip
    assert "layers-1: ended by signal 9 (see its log)" in done.stderr


# streams and files


def test_json_on_stdout_is_the_valid_record_and_nothing_else() -> None:
    done = compare(*BOTH, "--prompt", "fine", "--json", "-")
    record = json.loads(done.stdout)
    assert faults(record) == []
    assert record["settings"]["template"] == "{prompt} =>"
    assert [result["answer"]["text"] for result in record["results"]] == ["echo: fine =>"] * 2


def test_report_on_stdout_narration_on_stderr_record_in_file(tmp_path: Path) -> None:
    done = compare(*BOTH, "--prompt", "fine", "--json", str(tmp_path / "out.json"))
    assert "echo: fine" in done.stdout and "variant" in done.stdout
    assert "ready in" in done.stderr and "ready in" not in done.stdout
    assert faults(json.loads((tmp_path / "out.json").read_text())) == []


def test_quiet_says_nothing_on_stderr_but_errors() -> None:
    assert compare(*BOTH, "--prompt", "fine", "--quiet").stderr == "closed\n"


def test_record_is_stored_and_exported(tmp_path: Path, state: Path) -> None:
    done = compare(
        *BOTH, "--prompt", "fine", "--export", str(tmp_path / "a.csv"), "--export", str(tmp_path / "a.parquet")
    )
    assert done.returncode == 0
    assert [row.run_id for row in Store(state).summaries()] == ["scripted"]
    assert (tmp_path / "a.csv").read_text().startswith("run_id,")
    assert (tmp_path / "a.parquet").read_bytes()[:4] == b"PAR1"


def test_not_saved_where_not_wanted(state: Path) -> None:
    assert compare(*BOTH, "--prompt", "fine", "--no-save").returncode == 0
    assert Store(state).summaries() == []


@pytest.mark.parametrize("out", ["none/out.json", "."])
@pytest.mark.parametrize("flag", ["--json", "--export"])
def test_output_that_cannot_be_written_is_found_before_the_run(
    tmp_path: Path, state: Path, out: str, flag: str
) -> None:
    done = compare(*BOTH, "--prompt", "fine", flag, str(tmp_path / out))
    assert done.returncode == 2 and "cannot write" in done.stderr
    assert "closed" not in done.stderr and Store(state).summaries() == []


def test_output_that_fails_in_the_end_costs_nothing_else(state: Path) -> None:
    done = compare(*BOTH, "--prompt", "fine", "--json", "/dev/full")
    assert done.returncode == 1 and "No space left" in done.stderr and "runs export scripted" in done.stderr
    assert "echo: fine" in done.stdout and len(Store(state).summaries()) == 1
    no_traceback(done.stderr)


def test_state_folder_that_cannot_be_used_costs_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UNFED_STATE_DIR", str(tmp_path / "file"))
    done = compare(*BOTH, "--prompt", "fine", "--json", str(tmp_path / "out.json"))
    assert done.returncode == 1
    assert str(tmp_path / "file") in done.stderr and "UNFED_STATE_DIR" in done.stderr
    assert "echo: fine" in done.stdout and faults(json.loads((tmp_path / "out.json").read_text())) == []
    no_traceback(done.stderr)


def test_full_stdout_is_said_and_no_traceback() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, SCRIPT, "compare", *BOTH, "--prompt", "fine"],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 1 and "cannot write to standard output" in done.stderr
    no_traceback(done.stderr)


def test_bug_is_one_line_and_a_log_without_the_prompt(state: Path) -> None:
    done = compare(*BOTH, "--prompt", "bug and secret")
    (line,) = [line for line in done.stderr.splitlines() if "a bug" in line]
    log = Path(line.rpartition("see ")[2])
    assert log.parent == state / "crashes" and log.stat().st_mode & 0o077 == 0
    assert "KeyError" in log.read_text() and "secret" not in log.read_text()


def test_hostile_text_cannot_steer_the_terminal() -> None:
    done = compare(*BOTH, "--prompt", "a\x1b[2Jb\u202ec\x07")
    assert "\x1b" not in done.stdout + done.stderr and "\u202e" not in done.stdout
    assert "\\x1b[2J" in done.stdout


def test_terminal_sees_progress(state: Path) -> None:
    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, SCRIPT, "compare", *BOTH, "--prompt", "fine"], stdout=subprocess.DEVNULL, stderr=slave
    ) as process:
        os.close(slave)
        seen = b""
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:  # the other end has closed
                break
            seen += piece
    os.close(master)
    assert process.returncode == 0
    assert b"\r\x1b[2K" in seen and b"plain" in seen


# signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_run_writes_its_partial_record(started: Any, tmp_path: Path, state: Path, number: int) -> None:
    run = started(*BOTH, "--prompt", "fine", "--prompt", "hang", "--json", str(tmp_path / "out.json"))
    run.until("waiting")
    run.process.send_signal(number)
    code, out, err = run.end()
    assert code == 130 and "closed" in err and "echo: fine" in out
    no_traceback(err)
    record = json.loads((tmp_path / "out.json").read_text())
    assert faults(record) == [] and record["status"] == "interrupted"
    assert [result["status"] for result in record["results"]] == ["ok", "ok", "cancelled"]
    assert [(row.status, row.ok, row.failed) for row in Store(state).summaries()] == [("interrupted", 2, 1)]


def test_second_interrupt_ends_at_once(started: Any, tmp_path: Path, state: Path) -> None:
    run = started(*BOTH, "--prompt", "stuck", "--json", str(tmp_path / "out.json"))
    run.until("waiting")
    run.process.send_signal(signal.SIGINT)
    run.until("still waiting")
    run.process.send_signal(signal.SIGINT)
    code, _, err = run.end()
    assert code == 130 and "closed" in err
    no_traceback(err)
    assert not (tmp_path / "out.json").exists() and Store(state).summaries() == []


def test_interrupt_while_prompts_are_read(started: Any, tmp_path: Path) -> None:
    pipe = tmp_path / "prompts"
    os.mkfifo(pipe)
    run = started(*BOTH, "--prompts", str(pipe), "--json", "-")
    with pipe.open("w"):  # returns once the other side has opened it, too
        run.process.send_signal(signal.SIGINT)
        code, out, err = run.end()
    assert code == 130 and out == "" and "interrupted" in err
    no_traceback(err)


def test_reader_that_goes_away_is_no_traceback() -> None:
    run = subprocess.Popen(
        [sys.executable, SCRIPT, "compare", *BOTH, "--prompt", "fine", "--json", "-"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert run.stdout is not None
    run.stdout.close()
    assert run.stderr is not None
    err = run.stderr.read()
    assert run.wait(60) == 1
    run.stderr.close()
    no_traceback(err)
    assert "Exception ignored" not in err
