"""Commands within this process: usage errors, listings, exports, and how little `--help` imports."""

from __future__ import annotations

import csv
import importlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from model_folders import write_model
from records import failed, record, result

from unfed.console.cli import main
from unfed.console.cli.commands import COMMANDS
from unfed.console.results.record import from_json
from unfed.console.results.store import Store

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """`run("runs", "list")` → exit code, stdout, stderr. State and config lie under tmp_path."""
    monkeypatch.setenv("UNFED_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("UNFED_CONFIG_DIR", str(tmp_path / "config"))
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(arguments)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    yield call
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def store(run: Run, tmp_path: Path) -> Store:
    """A store with two runs, the later one called `20260102…`."""
    made = Store(tmp_path / "state")
    made.save(record())
    made.save(record("20260102-000000-bbbbbb", started="2026-01-02T00:00:00.000+00:00", status="interrupted"))
    return made


# usage


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compares"], "Did you mean 'compare'?"),
        (["compare", "--bakend", "plain"], "No such option '--bakend'"),
        (["compare", "--max-new-tokens", "0"], "0 is not in the range"),
        (["compare", "--max-new-tokens", "many"], "'many' is not a valid integer"),
        (["compare", "--temperature", "-1"], "-1.0 is not in the range"),
        (["compare", "--top-p", "0"], "is not in the range"),
        (["compare", "--parallel", "0"], "is not in the range"),
        (["compare", "--timeout", "0"], "is not in the range"),
        (["compare", "--prompt"], "requires an argument"),
        (["compare", "extra"], "unexpected extra argument"),
        (["compare"], "no backend is chosen"),
        (["compare", "--profile", "dmeo"], "did you mean 'demo'?"),
        (["compare", "--profile", "demo", "--backend", "splitt"], "did you mean 'split'?"),
        (["compare", "--profile", "demo", "--set", "split.shard=2"], "did you mean 'shards'?"),
        (["compare", "--profile", "demo", "--set", "split.shards=0"], "split.shards = '0'"),
        (["compare", "--profile", "demo", "--backend", "split", "--set", "split.shards=99"], "99"),
        (["compare", "--profile", "demo", "--prompt", ""], "prompt 1: the prompt is empty"),
        (["compare", "--profile", "demo", "--prompts", "none.txt"], "cannot read the prompts file none.txt"),
        (["compare", "--profile", "digits", "--prompt", "none.png"], "cannot read the image none.png"),
        (["compare", "--profile", "digits", "--backend", "split"], "backend split takes text prompts"),
        (["compare", "--profile", "demo", "--links", "wann"], "did you mean 'wan'?"),
        (["compare", "--profile", "demo", "--model", "./none"], "there is no model folder"),
        (["compare", "--profile", "demo", "--json", "none/out.json"], "cannot write none/out.json"),
        (["compare", "--profile", "demo", "--export", "out.txt"], "cannot tell the format of out.txt"),
        (["compare", "--profile", "demo", "--export", "out.xyz"], "end its name in .json, .csv or .parquet\n"),
        (["compare", "--backend", "plain", "--set", "split.shards=2"], "hint: add --backend split\n"),
        (["compare", "--backend", "plain", "--set", "splitt.shards=2"], "backend 'splitt' is not chosen"),
        (["compare", "--backend", "plian", "--set", "split.shards=2"], "did you mean 'plain'?"),
        (["fleet", "start", "x", "--backend", "plain", "--set", "split.shards=2"], "hint: add --backend split\n"),
        (["runs", "export", "--out", "out.xyz"], "or give --format"),
        (["compare", "--profile", "demo", "--fleet", "x", "--prompt", "y"], "--profile cannot be changed"),
        (["compare", "--audit", "--fleet", "x", "--prompt", "y"], "--audit cannot be changed"),
        (["compare", "--fleet", "x", "--prompt", "y"], "no fleet called 'x' is running"),
        (["compare", "--fleet", "x/../y", "--prompt", "y"], "cannot name a fleet"),
        (["fleet", "start", "a b", "--profile", "demo"], "cannot name a fleet"),
        (["fleet", "start", "x"], "no backend is chosen"),
        (["fleet", "status", "x"], "no fleet called 'x' is running"),
        (["fleet", "stop", "x"], "no fleet called 'x' is running"),
        (["runs", "show", "x"], "there is no stored run 'x'"),
        (["runs", "show"], "no run is stored yet"),
        (["runs", "export", "--all"], "No run is stored yet"),
        (["runs", "export", "x", "--all"], "Name runs or give --all"),
        (["runs", "export", "--format", "xls"], "'xls' is not one of"),
        (["profiles", "show", "dmeo"], "did you mean 'demo'?"),
        (["backends", "plane"], "did you mean 'plain'?"),
        (["--profile", "demo", "runs", "list"], "Give --profile after runs"),
        ([], "The console needs a terminal"),
    ],
)
def test_usage_errors_are_two_and_say_what_to_do(run: Run, arguments: list[str], said: str) -> None:
    code, out, err = run(*arguments)
    assert code == 2 and said in err and out == ""


@pytest.mark.parametrize(
    "content",
    [b"", b'{"id": "a", "prompt": "x"}\n{"id": \n', b"one\n\xff\n", b"x" * 10_000_000],
    ids=["empty", "broken line", "invalid UTF-8", "10 MB"],
)
def test_bad_prompts_files(run: Run, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(content)
    code, out, err = run("compare", "--profile", "demo", "--prompts", str(path), "--json", "-")
    assert code == 2 and out == "" and str(path) in err


def test_what_a_profile_chooses_is_named_with_what_it_lacks(run: Run, tmp_path: Path) -> None:
    (tmp_path / "lone.toml").write_text("[backends.plain]\n")
    code, _, err = run("compare", "--profile", str(tmp_path / "lone.toml"), "--set", "split.shards=2")
    assert code == 2 and "hint: add --backend plain --backend split\n" in err


def test_weights_that_are_a_fifo_are_refused(run: Run, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors")
    code, _, err = run("compare", "--backend", "plain", "--model", str(folder), "--prompt", "x")
    assert code == 2 and "model.safetensors is no regular file" in err


def test_a_family_that_is_unknown_is_named(run: Run, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", config={"model_type": "zorg"})
    code, _, err = run("compare", "--backend", "plain", "--model", str(folder), "--prompt", "x")
    assert code == 2 and "the family 'zorg' is not supported" in err


@pytest.mark.parametrize(
    ("closed", "arguments", "code", "out", "err"),
    [
        (">&-", ["runs", "show"], 0, "", ""),
        ("2>&-", ["runs", "show"], 0, "animal: collie", ""),
        ("<&- >&- 2>&-", ["runs", "show"], 0, "", ""),
        (">&-", ["runs", "show", "x"], 2, "", "there is no stored run"),
        ("2>&-", ["runs", "show", "x"], 2, "", ""),
    ],
)
def test_closed_streams_are_quiet(
    store: Store, closed: str, arguments: list[str], code: int, out: str, err: str
) -> None:
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "unfed.console.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    for said, wanted in ((done.stdout, out), (done.stderr, err)):
        assert wanted in said if wanted else said == ""


# help


def test_help_names_every_command_and_imports_none_of_them() -> None:
    script = (
        "import sys; from unfed.console.cli import main; main(['--help']); "
        "print(sorted(n for n in sys.modules if n.split('.')[0] in "
        "('torch', 'numpy', 'textual', 'pydantic', 'msgspec', 'transformers', 'sqlite3') or n == 'unfed.plugins'))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    *told, imported = done.stdout.splitlines()
    assert imported == "[]"
    assert all(any(line.startswith(f"  {name} ") for line in told) for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_short_help_is_the_commands_own(name: str) -> None:
    place, short = COMMANDS[name]
    module, _, attribute = place.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    assert isinstance(command, click.Command) and command.name == name and command.short_help == short


def every_command(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                yield from every_command(inner, (*path, name))


def test_every_command_explains_itself_and_its_flags(run: Run) -> None:
    from unfed.console.cli.commands import console

    for path, command in every_command(console):
        code, out, err = run(*path, "--help")
        assert code == 0 and out.startswith("Usage: unfed-console") and err == ""
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{path}: {parameter.name}"


def test_version(run: Run) -> None:
    from unfed.console import __version__

    assert run("--version")[1].strip().endswith(__version__)


# runs


def test_runs_list(run: Run, store: Store) -> None:
    code, out, _ = run("runs", "list")
    lines = out.splitlines()
    assert code == 0 and [line.split()[0] for line in lines] == [
        "run", "20260102-000000-bbbbbb", "20260101-000000-aaaaaa",
    ]  # fmt: skip
    listed = json.loads(run("runs", "list", "--json", "--limit", "1")[1])
    assert [(each["run_id"], each["status"], each["ok"], each["failed"]) for each in listed] == [
        ("20260102-000000-bbbbbb", "interrupted", 3, 1)
    ]


def test_runs_list_says_how_many_it_leaves_out(run: Run, store: Store) -> None:
    assert run("runs", "list", "--limit", "1")[2] == "and 1 more; --all or --limit N shows them\n"
    assert run("runs", "list", "--limit", "2")[2] == run("runs", "list", "--all")[2] == ""


@pytest.mark.parametrize("made", ["state/runs.sqlite3/", "state"])
def test_runs_list_where_the_store_can_be_none(run: Run, tmp_path: Path, made: str) -> None:
    (tmp_path / made).mkdir(parents=True) if made.endswith("/") else (tmp_path / made).touch()
    code, out, err = run("runs", "list")
    assert code == 1 and out == "" and f"the run store in {tmp_path / 'state'} cannot be used" in err


def test_runs_list_of_nothing(run: Run) -> None:
    assert run("runs", "list")[0] == 0
    assert json.loads(run("runs", "list", "--json")[1]) == []


def test_groups_alone_list(run: Run, store: Store) -> None:
    assert run("runs") == run("runs", "list") and run("runs", "--json") == run("runs", "list", "--json")
    assert run("profiles", "--json") == run("profiles", "list", "--json")
    assert run("fleet", "--json") == run("fleet", "status", "--json") == (0, "[]\n", "")
    code, _, err = run("runs", "--json", "list")
    assert code == 2 and "Give --json after list" in err


def test_runs_show(run: Run, store: Store) -> None:
    code, out, _ = run("runs", "show", "20260101")
    assert code == 0 and "animal: collie" in out and "layers-0: ended by signal 9" in out
    assert from_json(run("runs", "show", "--json")[1].encode()).run_id == "20260102-000000-bbbbbb"


def test_runs_show_check(run: Run, store: Store) -> None:
    code, out, err = run("runs", "show", "--check")
    assert code == 0 and out == "" and "is a valid unfed.run/1 record" in err
    store.save(record("zzz", results=[result(prompt_id="other")]))
    code, _, err = run("runs", "show", "zzz", "--check")
    assert code == 1 and "invalid: results/0: prompt_id 'other' is no prompt of this run" in err


def test_runs_export(run: Run, store: Store, tmp_path: Path) -> None:
    assert json.loads(run("runs", "export")[1])["run_id"] == "20260102-000000-bbbbbb"
    found = list(csv.DictReader(io.StringIO(run("runs", "export", "--all", "--format", "csv")[1])))
    assert len(found) == 8 and {row["run_id"][:8] for row in found} == {"20260101", "20260102"}
    code, out, err = run("runs", "export", "20260101", "--out", str(tmp_path / "x.parquet"))
    assert code == 0 and out == "" and "wrote" in err and (tmp_path / "x.parquet").read_bytes()[:4] == b"PAR1"
    code, _, err = run("runs", "export", "--out", str(tmp_path / "none" / "x.csv"))
    assert code == 2 and "cannot write" in err


def test_columns_are_explained(run: Run) -> None:
    code, out, _ = run("runs", "export", "--columns")
    assert code == 0 and "mean_kl" in out and "KL(reference" in out


# profiles, backends, doctor


def test_profiles(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config" / "profiles").mkdir(parents=True)
    (tmp_path / "config" / "profiles" / "bad.toml").write_text("x = = 1")
    code, out, _ = run("profiles", "list")
    assert code == 0 and "demo" in out and "broken" in out
    listed = json.loads(run("profiles", "list", "--json")[1])
    assert [each["name"] for each in listed] == ["bad", "demo", "digits", "digits-mlp"] and "broken TOML" in listed[0][
        "broken"
    ]
    shown = json.loads(run("profiles", "show", "demo", "--json")[1])
    assert shown["template"] == "{prompt} =>" and set(shown["backends"]) == {"plain", "split"}
    assert Path(shown["models"]["model"]).is_absolute()
    assert "template: {prompt} =>" in run("profiles", "show", "demo")[1]


def test_backends(run: Run) -> None:
    code, out, _ = run("backends")
    assert code == 0 and "plain" in out and "--set split.shards=" in out and "installed" in out
    assert "takes: text, image" in out and "takes: text\n" in out
    listed = json.loads(run("backends", "--json")[1])
    split = next(each for each in listed["backends"] if each["name"] == "split")
    shards = next(option for option in split["options"] if option["name"] == "shards")
    assert split["available"] and shards["default"] == 3 and shards["description"]
    assert [each["name"] for each in json.loads(run("backends", "split", "--json")[1])["backends"]] == ["split"]


def test_broken_and_lacking_plugins_are_listed_with_what_mends_them(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two strangers' packages: one cannot be imported, one lacks a library."""
    (tmp_path / "strange-1.0.dist-info").mkdir()
    (tmp_path / "strange-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1.0\n")
    (tmp_path / "strange-1.0.dist-info" / "entry_points.txt").write_text(
        "[unfed]\nfallen = strange_fallen\nneedy = strange_needy\n"
    )
    (tmp_path / "strange_fallen.py").write_text("import no_such_library_at_all")
    (tmp_path / "strange_needy.py").write_text("from faces import Faces; unfed_backends = Faces().unfed_backends")
    monkeypatch.syspath_prepend(str(tmp_path))
    code, out, _ = run("backends")
    assert code == 0 and "pip install no_such_library_at_all" in out and "strange" in out
    assert "missing: no_such_library; to install it: pip install no-such-library" in out and "plain" in out
    listed = json.loads(run("backends", "--json")[1])
    assert [each["name"] for each in listed["unavailable"]] == ["fallen"]


def test_doctor(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = run("doctor", "--json")
    checks = {each["what"]: each for each in json.loads(out)["checks"]}
    assert code == 0, [each for each in checks.values() if each["state"] == "fail"]
    assert checks["torch"]["state"] == "ok" and checks["state folder"]["state"] in ("ok", "warn")
    assert {"crypten", "tenseal", "loopback", "parties", "open files"} <= set(checks)
    assert all(each["hint"] for each in checks.values() if each["state"] in ("fail", "warn"))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UNFED_STATE_DIR", str(tmp_path / "file"))
    code, out, _ = run("doctor")
    assert code == 1 and "UNFED_STATE_DIR" in out


def test_doctor_finds_what_a_console_left_behind(run: Run) -> None:
    """A process with a party's title whose parent is gone."""
    script = (
        "import os, setproctitle, sys\n"
        "if os.fork(): os._exit(0)\n"
        "setproctitle.setproctitle('unfed split/layers-9')\n"
        "print(os.getpid(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    orphan = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert orphan.stdout is not None and orphan.stdin is not None
    pid = int(orphan.stdout.readline())
    orphan.wait()
    try:
        checks = {each["what"]: each for each in json.loads(run("doctor", "--json")[1])["checks"]}
        adopted = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
        if adopted != "1":
            pytest.skip("this system hands orphans to another process than 1")
        assert str(pid) in checks["parties"]["found"] and f"kill {pid}" in checks["parties"]["hint"]
    finally:
        orphan.stdin.close()
        orphan.stdout.close()


def test_fleet_status_of_nothing_and_of_a_socket_left_behind(run: Run, tmp_path: Path) -> None:
    import socket

    assert "No fleet is running" in run("fleet", "status")[1]
    (tmp_path / "state" / "fleets").mkdir(parents=True)
    path = tmp_path / "state" / "fleets" / "old.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert path.is_socket()
    assert json.loads(run("fleet", "status", "--json")[1]) == []


def test_failed_results_are_told_in_a_report(run: Run, tmp_path: Path) -> None:
    Store(tmp_path / "state").save(record("f", results=[failed("plain", "p1", hint="a\x1b[31m hint")]))
    out: Any = run("runs", "show", "f")[1]
    assert "FAILED  layers-0: ended by signal 9 (a\\x1b[31m hint)" in out and "\x1b" not in out
