"""Makes the screenshots of the docs from the running console: real fleets, the demo model, keys pressed.

`make screenshot`; needs Chromium, and the font Fira Code where the pictures should look as the app means them to.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from textual.pilot import Pilot

from unfed.console.app.app import UnfedApp
from unfed.console.app.local import LocalDesk

HERE = Path(__file__).parent
CHROMIUM = (
    "chromium",
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
)
PROFILE = f"""
template = "{{prompt}} =>"
[models]
model = "{HERE.parents[1] / "profiles" / "demo" / "model"}"
[run]
max_new_tokens = 16
[backends.unfed]
check_rate = 1
"""
PROMPT = "a small furry animal that people keep in their homes and that chases mice"


async def settled(pilot: Pilot[int], seconds: float) -> None:
    """Wait until `seconds` have gone, or the two answers are there."""
    for _ in range(int(seconds * 10)):
        await pilot.pause(0.1)
        if "done" in (screen := pilot.app.export_screenshot()) and screen.count("done") >= 2:
            break
    await pilot.pause(0.5)


async def make(size: tuple[int, int], suffix: str) -> None:
    app = UnfedApp(LocalDesk(), profile="demo")
    async with app.run_test(size=size) as pilot:
        await pilot.pause(2)
        save(app.export_screenshot(), f"gallery{suffix}")
        await pilot.press("f3")
        await pilot.pause(0.5)
        await pilot.press(*("space" if c == " " else c for c in PROMPT), "enter")
        await settled(pilot, 60)
        save(app.export_screenshot(), f"compare{suffix}")


async def make_fleet(profile: Path, size: tuple[int, int], suffix: str) -> None:
    """The Fleet screen with the way of a query, measured links and the check of a decoy."""
    app = UnfedApp(LocalDesk(), profile=str(profile))
    async with app.run_test(size=size) as pilot:
        await pilot.pause(2)
        await pilot.press("f3")
        await pilot.pause(0.5)
        await pilot.press(*("space" if c == " " else c for c in PROMPT), "enter", "f4")
        for _ in range(600):
            await pilot.pause(0.1)
            if app.board.record is not None and app.board.news:
                break
        await pilot.pause(5)  # the least of several round trips, of processes that are idle by then
        save(app.export_screenshot(), f"fleet{suffix}")


def save(svg: str, name: str) -> None:
    """Write `name`.png beside this file."""
    width, height = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups()  # type: ignore[union-attr]
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "page.html")
        page.write_text(f'<meta charset="utf-8"><style>body{{margin:0}}svg{{display:block}}</style>{svg}')
        subprocess.run(
            [
                *CHROMIUM,
                f"--user-data-dir={folder}/profile",
                f"--screenshot={HERE / name}.png",
                f"--window-size={round(float(width))},{round(float(height))}",
                page.as_uri(),
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )
    print(HERE / f"{name}.png")


def main() -> None:
    if shutil.which(CHROMIUM[0]) is None:
        sys.exit("chromium is missing: apt-get install chromium fonts-firacode")
    with tempfile.TemporaryDirectory() as state:
        os.environ["UNFED_STATE_DIR"] = state  # a first run, whoever makes the pictures
        os.environ["UNFED_CONFIG_DIR"] = state
        asyncio.run(make((120, 36), ""))
        asyncio.run(make((80, 24), "-80x24"))
        profile = Path(state, "profile.toml")
        profile.write_text(PROFILE)
        asyncio.run(make_fleet(profile, (120, 36), ""))
        asyncio.run(make_fleet(profile, (80, 24), "-80x24"))


if __name__ == "__main__":
    main()
