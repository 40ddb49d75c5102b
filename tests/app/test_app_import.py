"""The console process stays light: it imports no torch, and starts on little."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import unfed.console.app.figures

HEAVY = ("torch", "transformers", "tokenizers", "numpy", "safetensors", "pyarrow", "crypten", "tenseal")

CHILD = """
import json, sys
{work}
print(json.dumps([name for name in {sought!r} if name in sys.modules]))
"""


def _imported(work: str, sought: tuple[str, ...] = HEAVY) -> list[str]:
    code = CHILD.format(work=work, sought=sought)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_the_whole_console_imports_nothing_heavy():
    assert _imported("import unfed.console.app, unfed.console.app.app, unfed.console.app.local") == []


def test_what_screens_show_is_computed_without_textual():
    figures = Path(unfed.console.app.figures.__path__[0]).glob("[a-z]*.py")
    modules = [f"unfed.console.app.figures.{path.stem}" for path in figures]
    assert len(modules) > 8
    work = "import unfed.console.app.board, unfed.console.app.forms, unfed.console.app.survey, " + ", ".join(modules)
    assert _imported(work, ("textual", "rich")) == []


def test_a_console_that_has_painted_and_surveyed_has_imported_no_torch(tmp_path):
    """Every screen is opened and every backend planned; only scoring, which needs numpy, may come later."""
    work = f"""
import asyncio, os
os.environ["UNFED_STATE_DIR"] = {str(tmp_path / "state")!r}
os.environ["UNFED_CONFIG_DIR"] = {str(tmp_path / "config")!r}
from unfed.console.app.app import UnfedApp
from unfed.console.app.local import LocalDesk

class Desk(LocalDesk):
    def session(self):
        raise RuntimeError("no process is started here")

async def main():
    app = UnfedApp(Desk())
    async with app.run_test(size=(80, 24)) as pilot:
        await app.workers.wait_for_complete()
        await pilot.press("escape")
        for key in ("f2", "f3", "f4", "f5", "f8"):
            await pilot.press(key)
            await pilot.pause()
        assert app.survey is not None and {{"plain", "split"}} <= set(app.survey.backends)
        assert app.survey.columns, app.survey.problem
asyncio.run(main())
"""
    assert _imported(work) == []
