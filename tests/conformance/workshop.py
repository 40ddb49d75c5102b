"""Makes checks of backends from ordinary functions, with one warm fork server behind them all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unfed.console.fleet.process import LocalLauncher
from unfed.console.runner.lab import ConsoleLab
from unfed.console.runner.models import read_card
from unfed.plugins import Backend, ModelCard
from unfed.plugins.conformance import Outcome
from unfed.plugins.conformance.checks import examine
from unfed.plugins.conformance.rig import Rig
from unfed.plugins.options import read_options

PROFILES = Path(__file__).parents[2] / "profiles"
DEMO = PROFILES / "demo" / "model"

Models = Mapping[str, ModelCard | tuple[ModelCard, ...]]


class Workshop:
    """Makes checks of backends, each on a rig of its own, with one launcher behind them all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self.runner = asyncio.Runner()
        self._launcher = LocalLauncher(folder / "logs")

    def card(self, folder: Path) -> ModelCard:
        return read_card(folder)

    def rig(self, backend: type[Backend], models: Models, *, lab: type[ConsoleLab] = ConsoleLab, **options: Any) -> Rig:
        self._count += 1
        folder = self._folder / f"rig{self._count}"
        return Rig(
            lab(folder, self._launcher),
            backend,
            read_options(backend.name, backend.Options, options),
            models,
            folder=folder,
            patience=30.0,
        )

    def examine(self, backend: type[Backend], check: str, models: Models, **options: Any) -> Outcome:
        rig = self.rig(backend, models, **options)
        try:
            return self.check(rig, check)
        finally:
            self.runner.run(rig.close())

    def check(self, rig: Rig, name: str) -> Outcome:
        return self.runner.run(examine(rig, name))

    def close(self) -> None:
        self.runner.run(self._launcher.close())
        self.runner.close()
