"""Pictures of every screen at the smallest and at a generous size, over fixed data.

`pytest tests/app/test_app_snapshots.py --snapshot-update` takes them anew; look at them before you keep them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from scripted_desk import drawn, make_app, ready, shown, until
from textual.pilot import Pilot

from unfed.console.app.screens.confirm import Confirm
from unfed.console.app.screens.explain import Explain
from unfed.console.app.screens.read import Read
from unfed.console.app.screens.setup import SetupScreen
from unfed.console.app.screens.trouble import Trouble
from unfed.console.app.widgets.backend_card import BackendCard
from unfed.console.results.record import News
from unfed.console.runner.notices import PartyChanged
from unfed.plugins import Failure, Note, Route, UnfedError

SMALL, LARGE = (80, 24), (160, 45)
SIZES = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "160x45"])

Act = Callable[[Pilot[Any]], Awaitable[None]]


@pytest.fixture
def picture(snap_compare, tmp_path) -> Callable[..., bool]:
    """Compares a picture of the scripted app, after `act`, with the one that was kept."""

    def take(size: tuple[int, int], act: Act, prepare: Callable[[Any], None] | None = None, **made: Any) -> bool:
        app = make_app(tmp_path, config=Path("~/.config/unfed-console"), **made)  # the help shows where keys go
        if prepare is not None:
            prepare(app)

        async def before(pilot: Pilot[Any]) -> None:
            await ready(pilot)
            await act(pilot)
            await drawn(pilot)

        return bool(snap_compare(app, terminal_size=size, run_before=before))

    return take


async def _nothing(pilot: Pilot[Any]) -> None:
    pass


async def _ask(pilot: Pilot[Any]) -> None:
    """Ask the example and wait for both answers."""
    app = pilot.app
    await pilot.press("ctrl+g", "enter")
    await until(pilot, lambda: not app.board.running and app.desk.records)


@SIZES
def test_gallery(picture, size):
    async def act(pilot):
        await until(pilot, lambda: len(pilot.app.screen.query(BackendCard)) == 5)

    assert picture(size, act)


@SIZES
def test_compare_before_the_first_prompt(picture, size):
    assert picture(size, _nothing, profile="demo")


@SIZES
def test_compare_done(picture, size):
    assert picture(size, _ask, profile="demo")


def test_compare_with_a_simulated_backend(picture):
    assert picture(LARGE, _ask, profile="wide")


@SIZES
def test_compare_streaming_in_a_race(picture, size):
    def prepare(app):
        app.desk.scripted.holds = {"plain": 3, "split": 2}

    async def act(pilot):
        app = pilot.app
        app.toggle_race()
        await pilot.press("ctrl+g", "enter")
        await until(pilot, lambda: len(app.board.columns["split"].pieces) == 2)
        await until(pilot, lambda: len(app.board.columns["plain"].pieces) == 3)
        app.clock.now += 0.0185

    assert picture(size, act, prepare, profile="demo")


@SIZES
def test_compare_with_a_lost_party(picture, size):
    def prepare(app):
        app.desk.scripted.holds = {"split": 2}
        app.desk.scripted.release.set()
        app.desk.scripted.faults["split"] = Failure(
            kind="party-lost", message="killed by signal 9", party="layers-1", hint="restart it on the Fleet screen"
        )

    assert picture(size, _ask, prepare, profile="demo")


@SIZES
def test_fleet(picture, size):
    async def act(pilot):
        app = pilot.app
        await pilot.press("f4", "o")
        await until(pilot, lambda: len(app.board.parties) == 6)
        await drawn(pilot)
        await app.session.kill("split", "layers-1")
        await pilot.press("down", "down", "down", "down")
        await until(pilot, lambda: app.board.parties[("split", "layers-1")].health == "lost")
        await until(pilot, lambda: app.screen._log_of == ("split", "layers-1"))

    assert picture(size, act, profile="demo")


@SIZES
def test_fleet_with_the_way_of_a_query(picture, size):
    """With hops that the scripted fleet does not have, and what their links take."""
    steps = (("guard",), ("relay-0", "relay-1"), ("entry-0", "entry-1"), ("layers-0",), ("layers-1",), ("layers-2",))
    trips = {
        "guard": {"client": 0.38e-3, "relay-0": 0.31e-3, "relay-1": 0.52e-3, "relay-2": 0.3e-3},
        "relay-0": {"entry-0": 5.2e-3},
        "relay-1": {"entry-1": 4.1e-3},
        "relay-2": {"layers-2": 41e-3},
        "entry-0": {"layers-0": 0.26e-3},
        "entry-1": {"layers-0": 0.29e-3},
    }

    def prepare(app):
        app.desk.scripted.holds = {"split": 2}
        app.desk.scripted.told["split"] = (
            Route(steps=(*steps, ("relay-2",), ("guard",)), seconds=0.0093),
            Note(kind="check", party="verifier", text="done again, and as stated", at=0.25),
            Note(kind="retry", party="layers-1", text="lost; asked again from token 1 on", at=0.512),
        )
        text, at = "a decoy was done again, and all was as stated", "2026-01-01T14:03:22"  # wherever that is
        app.desk.scripted.between = [News(variant="split", kind="check", party="verifier", text=text, at=at)]

    async def act(pilot):
        app = pilot.app
        await pilot.press("ctrl+g", "enter", "f4")
        await until(pilot, lambda: len(app.board.columns["split"].pieces) == 2)
        for name, told in trips.items():
            state = app.board.parties["split", "layers-0"]
            hop = msgspec.structs.replace(state, name=name, role="Hop", round_trips=told)
            app.desk.scripted.watch(PartyChanged(hop))
        await app.session.kill("split", "layers-1")
        await until(pilot, lambda: app.board.parties[("split", "layers-1")].health == "lost")
        await until(pilot, lambda: app.screen._log_of is not None and app.board.news)
        await until(pilot, lambda: "─2.6→ entry-0 | entry-1" in shown(app) and "lost; asked again" in shown(app))

    assert picture(size, act, prepare, profile="demo")


@SIZES
def test_fleet_before_anything_runs(picture, size):
    async def act(pilot):
        await pilot.press("f4")

    assert picture(size, act, profile="demo")


def test_a_kill_is_confirmed(picture):
    async def act(pilot):
        app = pilot.app
        await pilot.press("f4", "o")
        await until(pilot, lambda: len(app.board.parties) == 6)
        await drawn(pilot)
        await pilot.press("k")
        await until(pilot, lambda: isinstance(app.screen, Confirm))

    assert picture(SMALL, act, profile="demo")


@SIZES
def test_setup(picture, size):
    async def act(pilot):
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(pilot.app.screen, SetupScreen))

    assert picture(size, act, profile="demo")


@SIZES
def test_help(picture, size):
    async def act(pilot):
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(pilot.app.screen, Explain))
        await until(pilot, lambda: pilot.app.screen.query_one("#keys").size.height > 10)
        await until(pilot, lambda: "prompt.older" in shown(pilot.app))

    assert picture(size, act, profile="demo")


@SIZES
def test_a_run_in_detail(picture, size):
    async def act(pilot):
        await _ask(pilot)
        await pilot.press("f5")
        await until(pilot, lambda: pilot.app.screen.selected == "run-1")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Read))

    assert picture(size, act, profile="demo")


def test_plugins(picture):
    async def act(pilot):
        await pilot.press("f8")

    assert picture(SMALL, act, profile="demo")


def test_an_error_of_the_whole_console(picture):
    def prepare(app):
        app.desk.refuses = UnfedError("the model folder holds no weights", hint="name a folder with model.safetensors")

    async def act(pilot):
        await pilot.press("x", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Trouble))

    assert picture(SMALL, act, prepare, profile="demo")


def test_a_variant_without_a_plan(picture):
    async def act(pilot):
        app = pilot.app
        app.choose(msgspec.structs.replace(app.choice, options={"split": {"shards": "2,5"}}))
        await until(pilot, lambda: "split[shards=5]" in app.board.columns)

    assert picture(LARGE, act, profile="demo")


def test_a_light_theme(picture):
    async def act(pilot):
        pilot.app.theme = "textual-light"
        await _ask(pilot)

    assert picture(LARGE, act, profile="wide")
