"""A desk for tests of the screens: scripted backends, a scripted session, a store in memory."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripted_backends import ALL, CARD
from scripted_session import ScriptedSession
from textual.pilot import Pilot
from textual.widgets import TextArea

from unfed.console.app.app import UnfedApp
from unfed.console.app.desk import Choice
from unfed.console.app.screens.page import Page
from unfed.console.app.settings import Settings, write_settings
from unfed.console.results.record import Prompt, Record, to_json
from unfed.console.results.tables import Summary
from unfed.console.runner.request import Request
from unfed.console.runner.variants import make_variants
from unfed.plugins import UnfedError
from unfed.plugins.host import Unavailable

EXAMPLES = (
    Prompt(id="p07", prompt="a large grey mammal with tusks and a long trunk", label="animal"),
    Prompt(id="p10", prompt="a sharp tool with a wooden handle used to chop firewood", label="artifact"),
)


class ScriptedDesk:
    def __init__(self, folder: Path, *, backends: Sequence[str] = ("plain", "split")) -> None:
        self.folder = folder
        self.chosen = tuple(backends)
        self.records: list[Record] = []
        self.told: list[str] = []
        self.config = folder / "config"
        self.unsaved: Exception | None = None
        self.refuses: Exception | None = None
        self.scripted = ScriptedSession()

    def session(self) -> ScriptedSession:
        return self.scripted

    def profiles(self) -> Sequence[str]:
        return ["demo", "wide"]

    def choice(self, profile: str | None) -> Choice:
        if profile not in (None, "demo", "wide"):
            raise UnfedError(f"there is no profile {profile!r}", hint="known: demo, wide")
        chosen = ("plain", "split", "veil") if profile == "wide" else self.chosen
        return Choice(profile=profile or "demo", backends=chosen)

    def defaults(self, profile: str | None) -> Mapping[str, Mapping[str, Any]]:
        return {"split": {"shards": 2}} if profile == "wide" else {}

    def link_profiles(self, profile: str | None) -> Sequence[str]:
        return ["none", "lan", "metro", "wan"]

    def backends(self) -> Mapping[str, Any]:
        return ALL

    def unavailable(self) -> Sequence[Unavailable]:
        why = "ModuleNotFoundError: No module named 'ezkl'"
        return [Unavailable("zk", "unfed-zk", why, "pip install ezkl")]

    def plugins(self) -> Sequence[tuple[str, str, str]]:
        kinds = [("backends", name, backend.title) for name, backend in ALL.items()]
        return [*kinds, ("reward schemes", "equal", "Equal shares"), ("reward schemes", "work", "By work")]

    def request(self, choice: Choice, prompt: Prompt | None) -> Request:
        if self.refuses is not None and prompt is not None:
            raise self.refuses
        sets = [f"{b}.{o}={v}" for b, options in choice.options.items() for o, v in options.items()]
        return Request(
            variants=make_variants([ALL[name] for name in choice.backends], sets, self.defaults(choice.profile)),
            models={"model": CARD},
            prompts=(prompt or Prompt(id="none", prompt="-"),),
            sampling=choice.sampling,
            profile=choice.profile,
            race=choice.race,
        )

    def examples(self, choice: Choice) -> Sequence[Prompt]:
        return EXAMPLES

    def save(self, record: Record) -> Sequence[str]:
        if self.unsaved is not None:
            raise self.unsaved
        self.records.append(record)
        return self.told

    def runs(self) -> Sequence[Summary]:
        return [
            Summary(
                run_id=record.run_id,
                started=record.started,
                profile=record.profile,
                status=record.status,
                model="demo",
                variants=list(dict.fromkeys(result.variant for result in record.results)),
                prompts=len(record.prompts),
                ok=sum(result.status == "ok" for result in record.results),
                failed=sum(result.status != "ok" for result in record.results),
                concurrency=record.concurrency,
                links=None,
                seed=0,
                unfed="0",
            )
            for record in reversed(self.records)
        ]

    def record(self, run_id: str) -> Record:
        return next(record for record in self.records if record.run_id == run_id)

    def export(self, run_id: str, kind: str, path: Path) -> None:
        if path.exists():
            raise UnfedError(f"{path.name} is there already")
        path.write_bytes(to_json(self.record(run_id)))

    def folders(self) -> tuple[Path, Path]:
        return self.folder / "state", self.config


class Clock:
    """Stands still unless a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def until(pilot: Pilot[Any], holds: Callable[[], object], seconds: float = 20.0) -> None:
    """Let the app work until `holds`; fails where it never does."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"never: {inspect.getsource(holds).strip()}"
        await pilot.pause(0.02)


async def drawn(pilot: Pilot[Any]) -> None:
    """Let the app come to rest and draw what it knows; a cursor never blinks in a picture."""
    for area in pilot.app.screen.query(TextArea):
        area.cursor_blink = False
    for _ in range(3):
        await pilot.pause()
        if isinstance(pilot.app.screen, Page):
            pilot.app.screen.draw()
    await pilot.pause()


async def ready(pilot: Pilot[Any]) -> UnfedApp:
    """The app, once it knows what can be run."""
    app = pilot.app
    assert isinstance(app, UnfedApp)
    await until(pilot, lambda: app.survey is not None)
    await drawn(pilot)
    return app


def shown(app: UnfedApp) -> str:
    """All text on the screen, as a person reads it."""
    rows = app.screen._compositor.render_strips()
    return "\n".join(strip.text for strip in rows)


def make_app(
    folder: Path,
    *,
    profile: str | None = None,
    backends: Sequence[str] = ("plain", "split"),
    config: Path | None = None,
) -> UnfedApp:
    """An app over scripted things; `app.desk.scripted` is its session. With a profile it has been met before."""
    if profile is not None:
        write_settings(folder / "state", Settings(welcomed=True))
    desk = ScriptedDesk(folder, backends=backends)
    desk.config = config or desk.config
    return UnfedApp(desk, profile=profile, clock=Clock())
