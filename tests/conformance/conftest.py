"""One warm lab for all tests of the kit, driven from ordinary functions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from unfed.plugins import Backend, ModelCard
from unfed.plugins.conformance import Outcome
from unfed.plugins.conformance.checks import examine
from unfed.plugins.conformance.lab import Lab, open_lab
from unfed.plugins.conformance.rig import Rig
from unfed.plugins.options import read_options

DEMO = Path(__file__).parents[2] / "profiles" / "demo" / "model"

Models = Mapping[str, ModelCard | tuple[ModelCard, ...]]


class Workshop:
    """Makes checks of backends, each on a rig of its own, with one launcher behind them all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self.runner = asyncio.Runner()
        self.lab: Lab = self.runner.run(self._open())

    async def _open(self) -> Lab:
        return open_lab(self._folder)

    def card(self, folder: Path) -> ModelCard:
        return self.runner.run(self.lab.card(str(folder)))

    def rig(self, backend: type[Backend], models: Models, patience: float = 30.0, **options: Any) -> Rig:
        self._count += 1
        folder = self._folder / f"rig{self._count}"
        (folder / "logs").mkdir(parents=True)
        return Rig(
            self.lab,
            backend,
            read_options(backend.name, backend.Options, options),
            models,
            folder=folder,
            patience=patience,
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
        self.runner.run(self.lab.close())
        self.runner.close()


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    shop = Workshop(tmp_path_factory.mktemp("workshop"))
    yield shop
    shop.close()


@pytest.fixture(scope="session")
def demo_card(workshop: Workshop) -> ModelCard:
    return workshop.card(DEMO)
