"""What the kit says of faces, from outside any fleet; and its command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import unfit_faces
from workshop import DEMO, Workshop

from unfed.plugins import Backend, ModelCard, UnfedError
from unfed.plugins.conformance import CHECKS, NonConforming, Outcome, check_backend, conformance_tests, run_checks
from unfed.plugins.conformance import __main__ as command
from unfed.plugins.conformance.checks import title

FACE = ("imports", "plan", "declared", "guarantee")

MISTAKES = {
    # the face: the check that finds its mistake, and words of what it says
    "Heavy": ("imports", "imports torch"),
    "Fickle": ("plan", "something else"),
    "ByProcess": ("imports", "different plans"),
    "Opaque": ("plan", "JSON"),
    "Unhinged": ("plan", "the link client – nod names 'nod'; the guarantee is empty"),
    "Alone": ("plan", "idle has no link"),
    "Bare": ("declared", "'Bare Name'"),
    "Undescribed": ("declared", "the option must is not described"),
    "Silent": ("guarantee", "whether other learns the prompt"),
    "Boastful": ("guarantee", "neither assumes nor"),
}


@pytest.mark.parametrize("face", MISTAKES)
def test_a_mistake_in_a_face_is_found(face: str, workshop: Workshop) -> None:
    check, said = MISTAKES[face]
    outcome = workshop.examine(getattr(unfit_faces, face), check, {})
    assert outcome.status == "fail" and said in outcome.detail, outcome


@pytest.mark.parametrize("check", FACE)
def test_a_good_face_passes(check: str, workshop: Workshop) -> None:
    outcome = workshop.examine(unfit_faces.Good, check, {})
    assert outcome.status == "pass", outcome


@pytest.mark.parametrize(
    ("face", "said"),
    [
        (unfit_faces.Greedy, "'model' is declared and filled, and no party opens"),
        (unfit_faces.Grabbing, "not within the 4 layers"),
        (unfit_faces.Grabbing, "'student', which the backend does not declare"),
    ],
)
def test_slots_that_are_not_used_as_declared_are_found(
    face: type[Backend], said: str, workshop: Workshop, demo_card: ModelCard
) -> None:
    outcome = workshop.examine(face, "declared", {"model": demo_card})
    assert outcome.status == "fail" and said in outcome.detail, outcome


@pytest.mark.slow
def test_an_error_of_the_code_under_test_is_an_outcome(workshop: Workshop) -> None:
    outcome = workshop.examine(unfit_faces.Good, "events", {})  # its roles are nowhere
    assert outcome.status == "fail" and "nowhere" in outcome.detail


def test_every_check_says_what_it_asks_for() -> None:
    assert all(title(name).endswith(".") and len(title(name)) > 20 for name in CHECKS)


# -- from outside


def test_check_backend_raises_with_every_failure(tmp_path: Path) -> None:
    with pytest.raises(NonConforming, match="the option must is not described") as caught:
        check_backend(unfit_faces.Undescribed, only=["declared", "guarantee"], folder=tmp_path)
    assert [each.status for each in caught.value.outcomes] == ["fail", "pass"]


def test_checks_come_in_their_own_order_and_are_told_as_they_come(tmp_path: Path) -> None:
    told: list[Outcome] = []
    outcomes = run_checks(unfit_faces.Good, only=["guarantee", "plan"], told=told.append, folder=tmp_path)
    assert [each.check for each in outcomes] == ["plan", "guarantee"] and told == outcomes


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"only": ["plam"]}, "did you mean 'plan'"),
        ({"options": {"shards": 1}}, "no option 'shards'"),
        ({"models": {"model": DEMO}}, "no model slot 'model'"),
    ],
)
def test_what_cannot_be_used_is_an_error(settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UnfedError, match=said):
        run_checks(unfit_faces.Good, folder=tmp_path, **settings)


def test_a_backend_that_makes_no_plan_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnfedError, match="cannot make a plan: KeyError"):
        run_checks(unfit_faces.Raising, folder=tmp_path)


def test_a_missing_model_is_an_error_that_says_how_to_give_it(tmp_path: Path) -> None:
    with pytest.raises(UnfedError, match=r"needs a model in the slot 'model'.*--model"):
        run_checks(unfit_faces.Greedy, folder=tmp_path)
    with pytest.raises(UnfedError, match="takes one model"):
        run_checks(unfit_faces.Greedy, models={"model": [DEMO, DEMO]}, folder=tmp_path)
    with pytest.raises(UnfedError, match=r"neither a model folder nor an id|no model folder"):
        run_checks(unfit_faces.Greedy, models={"model": tmp_path / "none"}, folder=tmp_path)


class TestGoodFace(conformance_tests(unfit_faces.Good)):  # type: ignore[misc]
    """As authors subclass it. What would start fleets is taken out, since these roles are nowhere."""


for name in CHECKS.keys() - set(FACE):
    setattr(TestGoodFace, f"test_{name.replace('-', '_')}", None)


def test_the_class_has_one_test_for_each_check() -> None:
    tests = [name for name in dir(conformance_tests("split")) if name.startswith("test_")]
    assert sorted(tests) == sorted(f"test_{name.replace('-', '_')}" for name in CHECKS)


def test_the_command_prints_the_checklist(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["split", "--model", str(DEMO), "--set", "shards=2", "--only", "plan"]) == 0
    out = capsys.readouterr().out
    assert "pass  plan" in out and "3 processes" in out and "1 of 1 checks hold" in out


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["plain", "--model", f"model={DEMO}", "--only", "plan", "--json"]) == 0
    assert [each["status"] for each in json.loads(capsys.readouterr().out)] == ["pass"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["splitt", "--model", str(DEMO)],
        ["split"],
        ["split", "--model", str(DEMO), "--set", "shards"],
        ["split", "--model", str(DEMO), "--set", "shards=none"],
        ["split", "--model", str(DEMO), "--set", "shards=99"],
        ["split", "--model", str(DEMO), "--only", "everything"],
        ["split", "--model", "no/such/folder"],
    ],
)
def test_bad_usage_is_status_2_and_a_sentence(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(arguments) == 2
    out, said = capsys.readouterr()
    assert not out and said.startswith("error: ") and "Traceback" not in said


def test_the_kit_imports_no_console_by_itself() -> None:
    import subprocess
    import sys

    code = "import sys, unfed.plugins.conformance; print([name for name in sys.modules if 'unfed.console' in name])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
