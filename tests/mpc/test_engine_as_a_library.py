"""The example in the docs runs as it stands there, and prints what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs" / "backends" / "mpc.md"


def test_the_example_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    section = DOCS.read_text("utf-8").partition("## The engine as a library")[2]
    example = section.partition("```python\n")[2].partition("```")[0]
    promised = re.findall(r"^print\(.*\)  # (.*)$", example, re.MULTILINE)
    assert len(promised) == 2
    exec(compile(example, str(DOCS), "exec"), {"__name__": "example"})
    assert capsys.readouterr().out.splitlines() == promised
