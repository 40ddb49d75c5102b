"""The guide and its example: the guide quotes the example, leaves nothing out, and its commands run."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from unfed.plugins import Answer, Backend, Claim, Classifier, Context, Party, Plan, Query, Role, hookspecs
from unfed.plugins.conformance import CHECKS
from unfed.plugins.errors import Kind
from unfed.plugins.guarantee import OUTSIDERS, Basis, Property
from unfed.plugins.query import PhaseKind
from unfed.plugins.role import Channel, Model

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = DOCS / "examples" / "echo"
GUIDE = (DOCS / "write-a-backend.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [line.removeprefix("$ ") for kind, text in BLOCKS if kind == "console" for line in text.splitlines()]


def members(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}


NAMES = {
    "hooks": {name for name in vars(hookspecs) if name.startswith("unfed_")},
    "context": members(Context),
    "channel": members(Channel) | set(Channel.__annotations__),
    "model": members(Model),
    "role": members(Role),
    "backend": {name for name in Backend.__annotations__ if name != "Options"} | {"Options", "plan"},
    "plan": {*Plan.__struct_fields__, *Party.__struct_fields__},
    "claim": set(Claim.__struct_fields__),
    "query": {*Query.__struct_fields__, *Answer.__struct_fields__},
    "words": {*typing.get_args(Basis), *typing.get_args(Property), *typing.get_args(PhaseKind), *OUTSIDERS},
    "failures": set(typing.get_args(Kind)),
    "checks": set(CHECKS),
}


@pytest.mark.parametrize("area", NAMES)
def test_the_guide_names_everything(area: str) -> None:
    quoted = {word for span in re.findall(r"`([^`\n]+)`", GUIDE) for word in re.findall(r"[\w-]+", span)}
    assert NAMES[area] <= quoted, NAMES[area] - quoted


@pytest.mark.parametrize("block", [text for kind, text in BLOCKS if kind in ("python", "toml")])
def test_every_block_of_code_stands_in_the_example(block: str) -> None:
    files = [path.read_text() for path in EXAMPLE.iterdir() if path.suffix in (".py", ".toml")]
    assert any(block in text for text in files)


def test_every_line_of_the_example_stands_in_the_guide() -> None:
    source = (EXAMPLE / "unfed_echo.py").read_text().partition('"""\n')[2]
    shown = {line for kind, text in BLOCKS if kind == "python" for line in text.splitlines()}
    assert [line for line in source.splitlines() if line and line not in shown] == []


def test_the_guide_has_only_blocks_that_are_checked() -> None:
    assert {kind for kind, _ in BLOCKS} == {"python", "toml", "console", "json"}
    assert GUIDE.count("```") == 2 * len(BLOCKS)


@pytest.mark.parametrize("block", [text for kind, text in BLOCKS if kind == "json"])
def test_the_classifier_that_the_guide_shows_is_one(block: str) -> None:
    found = Classifier.of(json.loads(block), "the guide")
    kinds = {type(layer).__struct_config__.tag for layer in found.layers}
    assert kinds < set(re.findall(r"`(\w+)`", GUIDE))


def test_the_example_stays_small_and_imports_the_contract_alone() -> None:
    source = (EXAMPLE / "unfed_echo.py").read_text()
    assert sum(bool(line.strip()) for line in source.splitlines()) <= 66
    assert "unfed.console" not in source and "unfed.backends" not in source


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of somebody who has installed the example as a package of its own."""
    folder = tmp_path_factory.mktemp("echo")
    shutil.copytree(EXAMPLE, folder / "source", ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "--target", folder / "site", folder / "source"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    path = os.pathsep.join(filter(None, [str(folder / "site"), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "UNFED_STATE_DIR": str(folder / "state")}


def run(command: str, environment: dict[str, str], limit: float = 240) -> str:
    """Run a command of the guide from the folder above docs; its output."""
    program, *arguments = shlex.split(command)
    known = {"python": [sys.executable], "pytest": [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]}
    words = known.get(program) or [str(Path(sys.executable).with_name(program))]
    done = subprocess.run(
        [*words, *arguments], cwd=DOCS.parent, env=environment, capture_output=True, text=True, timeout=limit
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout


SHOWN = {
    # the start of a command: what it shows
    "unfed-console backends": "Echo",
    "unfed-console compare": "say it again",
    "python -m unfed.plugins.conformance": "2 of 2 checks hold",
    "pytest": f"{len(CHECKS) + 1} passed",
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("command", [each for each in COMMANDS if not each.startswith("pip ")])
def test_the_commands_of_the_guide_run(command: str, installed: dict[str, str]) -> None:
    (shown,) = (text for start, text in SHOWN.items() if command.startswith(start))
    assert shown in run(command, installed)


def test_the_guide_begins_with_installing_the_example() -> None:
    assert COMMANDS[0] == "pip install ./docs/examples/echo" and (DOCS.parent / "docs/examples/echo").is_dir()


@pytest.mark.slow
def test_the_installed_example_is_a_backend_like_any_other(installed: dict[str, str]) -> None:
    listed = json.loads(run("unfed-console backends --json", installed))["backends"]
    echo = next(each for each in listed if each["name"] == "echo")
    assert echo["available"] and [option["name"] for option in echo["options"]] == ["masked", "delay"]
    sweep = "--set echo.masked=true,false --prompt 'say it  again' --no-save --json -"
    record = json.loads(run(f"unfed-console compare --backend echo {sweep}", installed))
    assert [result["answer"]["text"] for result in record["results"]] == ["say it again"] * 2
    assert [result["guarantee"][0]["basis"] for result in record["results"]] == ["information-theoretic", "none"]
    assert all(result["traffic"]["messages"] == 6 for result in record["results"])
    assert {party["name"] for party in record["parties"]} == {"client", "server"}
