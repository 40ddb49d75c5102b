"""The console over a real session: real processes, the real demo model, the real store."""

from __future__ import annotations

import os

import psutil
import pytest
from real_fleets import Lent
from scripted_desk import drawn, shown, until

from unfed.console.app.app import UnfedApp
from unfed.console.app.local import LocalDesk
from unfed.console.app.screens.confirm import Confirm
from unfed.console.app.widgets.party_table import PartyTable

pytestmark = pytest.mark.slow


@pytest.fixture
def desk(tmp_path, monkeypatch) -> LocalDesk:
    monkeypatch.setenv("UNFED_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("UNFED_CONFIG_DIR", str(tmp_path / "config"))
    return LocalDesk()


async def test_from_the_first_key_to_the_last_process(desk):
    app = UnfedApp(desk)
    async with app.run_test(size=(160, 45)) as pilot:
        await until(pilot, lambda: app.survey is not None, 60)
        assert app.survey.problem is None and app.current_mode == "gallery"
        await pilot.press("enter")
        await until(pilot, lambda: app.board.record is not None and not app.board.running, 120)
        columns = app.board.columns
        assert [column.stage for column in columns.values()] == ["done", "done"], app.board.record
        assert columns["plain"].token_ids == columns["split"].token_ids
        assert columns["split"].result.fidelity.token_agreement == 1.0
        assert columns["split"].result.traffic.bytes > 0 and columns["split"].seconds(0).setup > 0
        await until(pilot, lambda: desk.runs(), 30)
        await drawn(pilot)
        assert "100%" in shown(app) and "prompt exposed to server" in shown(app)

        await pilot.press("f4")
        await until(pilot, lambda: sum(party.pss_bytes > 0 for party in app.board.parties.values()) == 6, 60)
        pids = [party.pid for party in app.board.parties.values()]
        assert all(psutil.pid_exists(pid) for pid in pids) and os.getpid() not in pids
        table = app.screen.query_one(PartyTable)
        while table.party != ("split", "layers-1"):
            await pilot.press("down")
        await pilot.press("k")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("tab", "enter")
        await until(pilot, lambda: app.board.parties[("split", "layers-1")].health == "lost", 20)

        await pilot.press("f3", *"a cat", "enter")
        await until(pilot, lambda: len(desk.runs()) == 2, 120)
        assert [column.stage for column in columns.values()] == ["done", "done"], "a lost fleet is replaced"
        pids += [party.pid for party in app.board.parties.values()]
    alive = [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]
    assert alive == [], "nothing is left running"


@pytest.mark.asyncio(loop_scope="session")
async def test_a_party_that_dies_within_an_answer_is_named_in_its_column_alone(desk, launcher, monkeypatch):
    monkeypatch.setattr("unfed.console.runner.session.LocalLauncher", lambda logs: Lent(launcher))
    app = UnfedApp(desk)
    async with app.run_test(size=(160, 45)) as pilot:
        await until(pilot, lambda: app.survey is not None, 60)
        app.toggle_race()
        await app.go("fleet")
        await pilot.press("o")
        await until(pilot, lambda: len(app.board.parties) == 6, 120)
        await until(pilot, lambda: all(party.health == "ready" for party in app.board.parties.values()), 60)
        victim = psutil.Process(app.board.parties[("split", "layers-2")].pid)
        victim.suspend()  # it cannot answer before it is killed
        await app.go("compare")
        await pilot.press(*"a cat", "enter")
        await until(pilot, lambda: app.board.columns["split"].stage == "answering", 30)
        victim.kill()
        await until(pilot, lambda: not app.board.running, 60)
        await drawn(pilot)
        split = app.board.columns["split"]
        assert (split.stage, split.error.party) == ("failed", "layers-2")
        assert app.board.columns["plain"].stage == "done"
        assert "layers-2: party" in shown(app)
