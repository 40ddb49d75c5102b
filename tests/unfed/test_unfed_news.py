"""What `unfed` finds out between queries: it reaches whoever watches, the records, and the rewards, once each."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from real_fleets import Lent, until

from unfed.console.fleet.process import LocalLauncher
from unfed.console.results.check import faults
from unfed.console.results.record import News, to_json
from unfed.console.runner.build import Wanted, build
from unfed.console.runner.notices import Answering, Notice, Told
from unfed.console.runner.request import Request
from unfed.console.runner.session import Session
from unfed.plugins import Note
from unfed.plugins.host import PluginHost

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

TEXTS = ("a large body of salt water", "someone who studies the stars")
SETS = ("unfed.check_rate=1", "unfed.cheat=skip", "unfed.shards=2", "unfed.relays=0")


async def asked(*texts: str) -> Request:
    wanted = Wanted(profile="demo", backends=("unfed",), sets=SETS, prompts=texts, max_new_tokens=2, timeout=60)
    return await build(wanted, PluginHost())


def of(notices: list[Notice], kind: type[Notice]) -> list[Notice]:
    return [notice for notice in notices if isinstance(notice, kind)]


def caught(news: list[News]) -> bool:
    return [(each.variant, each.kind, each.party) for each in news] == [("unfed", "caught", "layers-1")]


async def test_who_is_caught_between_two_queries_stands_in_the_runs_record(
    launcher: LocalLauncher, tmp_path: Path
) -> None:
    session, notices = Session(PluginHost(), logs=tmp_path, launcher=Lent(launcher)), list[Notice]()
    try:
        record = await session.run(await asked(*TEXTS), notices.append)
        assert caught(record.news) and faults(msgspec.json.decode(to_json(record))) == []
        first, second = record.results
        assert first.status == "ok" and second.error is not None and second.error.party == "layers-1"
        assert [Told(each) for each in record.news] == of(notices, Told), "and was told once"
        assert first.notes == second.notes == [], "the next query does not tell it again"
        assert not [each for each in of(notices, Answering) if isinstance(each.event, Note)]  # type: ignore[attr-defined]
        (work,) = [split for split in first.rewards if split.scheme == "work"]
        assert work.shares["layers-1"] == 0 < work.shares["layers-0"]
    finally:
        await session.close()


async def test_who_is_caught_after_a_run_stands_in_the_next_ones_record(
    launcher: LocalLauncher, tmp_path: Path
) -> None:
    session, notices = Session(PluginHost(), logs=tmp_path, launcher=Lent(launcher)), list[Notice]()
    try:
        record = await session.run(await asked(TEXTS[0]), notices.append)
        await until(session.news, 20)
        assert caught(session.news()) and record.news == [] and not of(notices, Told), "nobody watches now"
        later = await session.run(await asked(TEXTS[1]), notices.append)
        assert later.news == session.news() and [Told(each) for each in later.news] == of(notices, Told)
        assert (await session.run(await asked(TEXTS[1]), notices.append)).news == [], "once"
        assert len(of(notices, Told)) == 1
        await session.stop("unfed")
        assert session.news() == []
    finally:
        await session.close()


async def test_the_command_line_says_so_while_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNFED_STATE_DIR", str(tmp_path))
    command = [sys.executable, "-m", "unfed.console.cli", "compare", "--profile", "demo", "--backend", "unfed"]
    command += [word for text in TEXTS for word in ("--prompt", text)] + ["--json", str(tmp_path / "run.json")]
    command += [word for each in SETS for word in ("--set", each)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "unfed · no query · caught: layers-1: it failed a spot check" in done.stderr
    record = json.loads((tmp_path / "run.json").read_text())
    assert [each["kind"] for each in record["news"]] == ["caught"] and faults(record) == []
