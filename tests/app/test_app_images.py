"""Images on the Compare screen: how they are drawn, how they are asked, and how their classes are shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from real_fleets import Lent
from scripted_desk import drawn, shown, until
from textual.widgets import TextArea

from unfed.console.app.app import UnfedApp
from unfed.console.app.figures.picture import SIDE, bar, halves, scores
from unfed.console.app.figures.text import length, typed
from unfed.console.app.local import LocalDesk
from unfed.console.app.screens.trouble import Trouble
from unfed.console.app.settings import Settings, write_settings
from unfed.console.app.widgets.picture import Picture
from unfed.console.fleet.process import LocalLauncher
from unfed.console.results.record import ImageFile, Prompt
from unfed.plugins import Image


def image(values: np.ndarray) -> Image:
    channels, height, width = values.shape
    return Image(shape=(channels, height, width), pixels=values.astype("<f4").tobytes())


def test_each_cell_holds_two_pixels_one_above_the_other() -> None:
    found = halves(image(np.array([[[0, 1], [0.2, 0.4], [0.6, 0.8]]])))
    assert found == [[(0, 51), (255, 102)], [(153, 0), (204, 0)]]  # an odd row ends above nothing


def test_large_images_are_drawn_coarser_and_colours_as_their_mean() -> None:
    values = np.zeros((3, 40, 28))
    values[0, :3, :3] = 1
    found = halves(image(values))
    assert max(2 * len(found), len(found[0])) <= SIDE
    assert found[0][0] == (85, 0) and found[1] == [(0, 0)] * len(found[0])


def test_the_best_classes_are_shown_with_their_share_of_the_softmax() -> None:
    lines = scores([0.0, 3.0, 1.0, 2.0], ["ant", "bee", "cat", "dog"], 60)
    told = ["".join(text for text, _ in line) for line in lines]
    assert [row.split()[0] for row in told] == ["bee", "dog", "cat"]
    assert "64.4%" in told[0] and "23.7%" in told[1] and "3.00" in told[0]
    assert told[0].count("█") == 15 and len({*map(length, lines)}) == 1
    assert scores([], [], 60) == scores([1.0], [], 60) == []


@pytest.mark.parametrize("width", [4, 20, 36, 200])
def test_classes_fit_their_column(width: int) -> None:
    lines = scores([2.0, 1.0], ["a class of a very long name that goes on", "\x1b[31mred"], width)
    assert all("\x1b" not in text for line in lines for text, _ in line)
    assert width < 24 or all(length(line) <= width for line in lines)


def test_bars_fill_by_eighths() -> None:
    assert [bar(share, 2) for share in (0, 1 / 16, 0.5, 1)] == ["  ", "▏ ", "█ ", "██"]


def test_what_stands_in_the_box_for_an_image() -> None:
    assert typed(Prompt(id="d1", image=ImageFile(path="/far/away/7.png"))) == "d1: 7.png"
    assert typed(Prompt(id="p1", prompt="a word")) == "a word"


@pytest.fixture
def desk(launcher: LocalLauncher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalDesk:
    """With the fork server of all tests."""
    monkeypatch.setattr("unfed.console.runner.session.LocalLauncher", lambda logs: Lent(launcher))
    monkeypatch.setenv("UNFED_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("UNFED_CONFIG_DIR", str(tmp_path / "config"))
    write_settings(tmp_path / "state", Settings(welcomed=True))
    return LocalDesk()


@pytest.mark.slow
@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("size", [(80, 24), (160, 45)])
async def test_a_digit_is_asked_drawn_and_classified(desk: LocalDesk, size: tuple[int, int], tmp_path: Path) -> None:
    app = UnfedApp(desk, profile="digits")
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.survey is not None, 60)
        await drawn(pilot)
        picture, box = app.screen.query_one(Picture), app.screen.query_one(TextArea)
        assert not picture.display and "Name an image's file" in shown(app)
        await pilot.press("ctrl+g")
        assert box.text == "d01: 1555.png"
        await pilot.press("enter")
        await until(pilot, lambda: app.board.record is not None and not app.board.running, 120)
        await drawn(pilot)
        assert [column.stage for column in app.board.columns.values()] == ["done", "done"], app.board.record
        text = shown(app)
        assert picture.display and text.count("▀" * 8) == 4 and "asked d01: 1555.png" in text
        assert text.count("done · 1 image") == 2 and text.count("✓ 0") == 2 and text.count("92.6%") == 2
        assert picture.size.height == 4 and app.board.columns["mpc-crypten"].result is not None

        own = tmp_path / "mine.png"
        Pillow.fromarray(np.full((8, 8), 200, np.uint8)).save(own)
        box.load_text(str(own))
        await pilot.press("enter")
        await until(pilot, lambda: len(desk.runs()) == 2, 120)
        await drawn(pilot)
        assert app.board.image is not None and set(app.board.image.numpy().reshape(-1)) == {np.float32(200 / 255)}
        await pilot.press("f5")
        await until(pilot, lambda: app.current_mode == "runs")
        await drawn(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: "mine.png" in shown(app) and "❯" in shown(app))
        await pilot.press("escape", "f3")
        stored = desk.record(desk.runs()[0].run_id).prompts[0]
        assert stored.image is not None and stored.image.path == str(own) and stored.label is None

        box.load_text("nowhere.png")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Trouble))
        assert "cannot read the image nowhere.png" in shown(app)
