"""The house itself: packages are listed, arrows point one way, the console stays light."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("console", "plugins", "backends", "profiles")
HEAVY = ("torch", "transformers", "tenseal", "crypten")


def loaded_after(code: str) -> set[str]:
    """Names of the modules that a fresh interpreter holds after running `code`."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stdout.split())


def test_every_package_is_listed() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {
        "unfed." + ".".join(init.parent.relative_to(ROOT).parts)
        for package in PACKAGES
        for init in (ROOT / package).rglob("__init__.py")
    }
    assert listed == found


@pytest.mark.parametrize(
    "module",
    [
        "unfed.plugins",
        "unfed.console.cli",
        "unfed.console.app",
        "unfed.console.runner.session",
        "unfed.console.fleet.fleet",
    ],
)
def test_the_console_never_imports_what_computes(module: str) -> None:
    loaded = loaded_after(f"import {module}")
    assert module in loaded  # or the test would prove nothing
    assert not loaded & set(HEAVY)


def test_faces_of_all_backends_import_nothing_heavy() -> None:
    loaded = loaded_after("from unfed.plugins.host import PluginHost\nassert PluginHost().backends()")
    assert not loaded & set(HEAVY)


@pytest.mark.parametrize("module", ["runner.session", "runner.supervisor", "fleet.fleet", "results.store"])
def test_the_core_of_the_console_never_imports_textual(module: str) -> None:
    assert "textual" not in loaded_after(f"import unfed.console.{module}")


def test_no_helper_of_the_tests_is_taken_for_a_library() -> None:
    """Their folders stand on the path of the parties that tests start: a `trio.py` there once broke every fork."""
    folders = sorted({str(each.parent) for each in (ROOT / "tests").rglob("*.py")})
    code = (
        f"import sys, importlib; sys.path[:0] = {folders}\n"
        "from unfed.console.fleet.process import PRELOAD\n"
        "for module in PRELOAD: importlib.import_module(module)\n"
        "files = [(name, str(getattr(each, '__file__', ''))) for name, each in list(sys.modules.items())]\n"
        f"print(*[name for name, file in files if file.startswith({str(ROOT / 'tests')!r})])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.stdout.split(), done.returncode) == ([], 0), done.stderr


def test_import_contracts_hold() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
