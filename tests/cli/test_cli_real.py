"""The command line over real fleets and the demo model: from words to a record, and back to an empty process list."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from unfed.console.results.check import faults
from unfed.console.results.store import Store

pytestmark = pytest.mark.slow

CONSOLE = (sys.executable, "-m", "unfed.console.cli")
PROMPTS = ("a large wild cat", "the act of giving money to people in need", "a period of seven days")
OVERLONG = "word " * 2000


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNFED_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("UNFED_CONFIG_DIR", str(tmp_path / "config"))
    return tmp_path / "state"


def console(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CONSOLE, *arguments], capture_output=True, text=True, timeout=180)


class Running:
    """A console that goes on; `until` waits for a line on its stderr, `parties` are the processes below it."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [*CONSOLE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.said: list[str] = []

    def until(self, text: str) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if text in line:
                return
        raise AssertionError(f"{text!r} was never said: {self.said}")

    def parties(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, "".join(self.said) + err


@pytest.fixture
def running() -> Iterator[Any]:
    started: list[Running] = []

    def start(*arguments: str) -> Running:
        started.append(Running(*arguments))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.communicate()


def test_compare_to_record_to_runs(tmp_path: Path, state: Path) -> None:
    prompts = tmp_path / "mine.jsonl"
    prompts.write_text(
        "\n".join(json.dumps({"id": f"m{n}", "prompt": text, "label": "animal"}) for n, text in enumerate(PROMPTS))
    )
    out = tmp_path / "out.json"
    done = console(
        *("compare", "--profile", "demo", "--backend", "plain", "--backend", "split", "--set", "split.shards=1,2"),
        *("--prompts", str(prompts), "--json", str(out)),
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text())
    assert faults(record) == []
    assert [prompt["id"] for prompt in record["prompts"]] == ["m0", "m1", "m2"]
    by_variant: dict[str, list[Any]] = {}
    for result in record["results"]:
        by_variant.setdefault(result["variant"], []).append(result)
    assert set(by_variant) == {"plain", "split[shards=1]", "split[shards=2]"}
    for results in by_variant.values():
        assert [result["prompt_id"] for result in results] == ["m0", "m1", "m2"]
        for result, plain in zip(results, by_variant["plain"], strict=True):
            assert result["answer"]["token_ids"] == plain["answer"]["token_ids"]
            assert result["fidelity"]["token_agreement"] == 1.0 and result["fidelity"]["mean_kl"] < 1e-6
            assert {split["scheme"] for split in result["rewards"]} >= {"equal", "work"}
    shown = console("runs", "show", record["run_id"], "--json")
    assert json.loads(shown.stdout) == record
    assert console("runs", "show", "--check").returncode == 0
    assert len(console("runs", "export", "--format", "csv").stdout.splitlines()) == 10


def test_one_overlong_prompt_fails_alone() -> None:
    done = console(*("compare", "--profile", "demo", "--prompt", PROMPTS[0], "--prompt", OVERLONG, "--json", "-"))
    assert done.returncode == 1
    results = json.loads(done.stdout)["results"]
    assert [(each["prompt_id"], each["status"]) for each in results] == [
        ("p1", "ok"), ("p1", "ok"), ("p2", "failed"), ("p2", "failed"),
    ]  # fmt: skip
    assert all(each["error"]["kind"] == "bad-input" for each in results[2:])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_over_a_real_fleet(running: Any, tmp_path: Path, state: Path, number: int) -> None:
    """Slow links leave time to interrupt in the middle of an answer; nothing outlives the console."""
    run = running(
        *("compare", "--profile", "demo", "--backend", "plain", "--backend", "split", "--links", "300ms"),
        *("--prompt", PROMPTS[0], "--prompt", PROMPTS[1], "--json", str(tmp_path / "out.json")),
    )
    run.until("plain p1")
    below = run.parties()
    assert len(below) >= 6
    run.process.send_signal(number)
    code, _, err = run.end()
    assert code == 130 and "Traceback" not in err
    _, alive = psutil.wait_procs(below, timeout=3)
    assert alive == []
    record = json.loads((tmp_path / "out.json").read_text())
    assert faults(record) == [] and record["status"] == "interrupted" and record["results"][0]["status"] == "ok"
    assert [row.status for row in Store(state).summaries()] == ["interrupted"]


def test_interrupted_while_the_fleet_starts(running: Any) -> None:
    run = running("compare", "--profile", "demo", "--prompt", PROMPTS[0], "--json", "-")
    run.until("1 prompt ×")
    run.process.send_signal(signal.SIGINT)
    code, out, err = run.end()
    assert code == 130 and "Traceback" not in err
    assert json.loads(out)["status"] == "interrupted"


@pytest.mark.parametrize("again", [None, 0.02, 0.2])
def test_a_fleet_that_is_interrupted_while_it_starts_says_so_and_nothing_else(
    running: Any, state: Path, again: float | None
) -> None:
    run = running("fleet", "start", "lab", "--profile", "demo")
    until = time.monotonic() + 20
    while not (state / "fleets" / "lab.sock").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(0.5)
    below = run.parties()
    run.process.send_signal(signal.SIGINT)
    if again is not None:
        time.sleep(again)
        with contextlib.suppress(ProcessLookupError):
            run.process.send_signal(signal.SIGINT)
    code, out, err = run.end()
    assert code in (130, -signal.SIGINT) if again else code == 130
    assert out == ""
    assert err == "interrupted: ending the parties that have started; once more ends it at once\n"
    _, alive = psutil.wait_procs(below, timeout=3)
    assert below and alive == []


def test_fleet_that_others_use(running: Any, state: Path) -> None:
    fleet = running("fleet", "start", "lab", "--profile", "demo", "--set", "split.shards=2", "--json")
    fleet.until("is ready")
    below = fleet.parties()
    (told,) = json.loads(console("fleet", "status", "--json").stdout)
    assert told["variants"] == ["plain", "split"] and {party["health"] for party in told["parties"]} == {"ready"}
    assert "split/layers-1" in console("fleet", "status", "lab").stdout
    done = console("compare", "--fleet", "lab", "--backend", "split", "--prompt", PROMPTS[0], "--json", "-")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert faults(record) == [] and record["profile"] == "demo"
    assert [(each["variant"], each["options"]["shards"]) for each in record["results"]] == [("split", 2)]
    assert {party["pid"] for party in record["parties"]} <= {process.pid for process in below}
    wrong = console("compare", "--fleet", "lab", "--backend", "splat", "--prompt", "x")
    assert wrong.returncode == 2 and "did you mean 'split'" in wrong.stderr
    assert console("compare", "--fleet", "lab", "--prompt", OVERLONG).returncode == 2  # all of them are bad input
    second = console("fleet", "start", "lab", "--profile", "demo")
    assert second.returncode == 2 and "running already" in second.stderr
    assert console("fleet", "stop", "lab").returncode == 0
    code, out, err = fleet.end()
    assert code == 0 and json.loads(out)["name"] == "lab" and "Traceback" not in err
    _, alive = psutil.wait_procs(below, timeout=3)
    assert alive == []
    assert console("fleet", "stop", "lab").returncode == 2
