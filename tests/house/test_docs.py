"""What the documents say exists, exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from unfed.console.cli.commands import console

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_named_in_code_exist(page: Path) -> None:
    named = re.findall(r"`((?:console|plugins|backends|profiles|tests|docs)/[\w./-]*\w/?)`", page.read_text())
    assert not [path for path in named if not (ROOT / path).exists()]


def commands() -> list[str]:
    """Every `unfed-console` line of the README and of the two guides, comments and continuations taken care of."""
    found: list[str] = []
    for page in PAGES:
        for block in re.findall(r"```\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("unfed-console "):
                    found.append(" ".join(shlex.split(line, comments=True)[1:3]))
    return sorted(set(found))


@pytest.mark.parametrize("line", commands())
def test_commands_in_the_docs_exist(line: str) -> None:
    first, second = [*line.split(), "", ""][:2]
    words = [first] if second.startswith("-") or first in ("compare", "backends", "doctor") else [first, second]
    result = CliRunner().invoke(console, [*(word for word in words if word and word[0] != "-"), "--help"])
    assert result.exit_code == 0, result.output
