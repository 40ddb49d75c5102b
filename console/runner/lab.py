"""The console as the conformance kit uses it (`unfed.plugins.conformance.lab` says what for)."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from unfed.plugins import Backend, Image, Launcher, ModelCard, Models, Options, Plan
from unfed.plugins.host import PluginHost

from ..fleet.fleet import Fleet
from ..fleet.process import LocalLauncher
from ..results.check import faults
from ..results.record import ImageFile, Prompt
from .request import Request, Sampling
from .session import Session
from .sources import open_model
from .variants import Variant


class LabFleet(Fleet):
    """A fleet that tells where its parties listen."""

    def addresses(self) -> dict[str, dict[str, Any]]:
        hellos = {name: member.hello.result() for name, member in self._members.items()}
        return {
            name: {
                "name": name,
                "host": hello.host,
                "port": hello.port,
                "channel_port": hello.channel_port,
                "certificate": hello.certificate,
            }
            for name, hello in hellos.items()
        }


class ConsoleLab:
    """Fleets of processes on this host.

    Args:
        folder: for logs and views.
        launcher: starts the processes, and is closed by whoever made it; by default a fork server of this lab's own.
    """

    knocker = "unfed.console.party.knock"

    def __init__(self, folder: Path, launcher: Launcher | None = None) -> None:
        self._folder = folder
        self._logs = folder / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)
        self._launcher: Launcher = launcher or LocalLauncher(self._logs)
        self._owned = launcher is None

    async def card(self, reference: str) -> ModelCard:
        return await open_model(reference, PluginHost())

    async def start(self, backend: str, plan: Plan, models: Models, views: Path | None) -> LabFleet:
        await self._warm()
        fleet = LabFleet(backend, backend, plan, models, launcher=self._launcher, logs=self._logs, views=views)
        await fleet.start()
        return fleet

    async def record(
        self,
        backend: type[Backend],
        options: Options,
        models: Models,
        prompts: Sequence[str | Image],
        max_new_tokens: int,
    ) -> tuple[dict[str, Any], list[str]]:
        await self._warm()
        session = Session(PluginHost(), logs=self._logs, launcher=self._launcher)
        variant = Variant(backend.name, backend, options)
        asked = {f"p{number}": prompt for number, prompt in enumerate(prompts, start=1)}
        request = Request(
            variants=(variant,),
            models=models,
            prompts=tuple(
                Prompt(id=name, image=ImageFile(path="made by the kit"))
                if isinstance(prompt, Image)
                else Prompt(id=name, prompt=prompt)
                for name, prompt in asked.items()
            ),
            images={name: prompt for name, prompt in asked.items() if isinstance(prompt, Image)},
            sampling=Sampling(max_new_tokens=max_new_tokens),
            audit=self._folder / "audit",
        )
        try:
            record = await session.run(request, lambda notice: None)
        finally:
            await session.stop(variant.id)
        return msgspec.to_builtins(record), faults(record)

    async def stranger(self, address: Mapping[str, Any]) -> dict[str, str]:
        from ..party.knock import knock_as_stranger

        return await knock_as_stranger(address)

    async def close(self) -> None:
        if self._owned:
            await self._launcher.close()

    async def _warm(self) -> None:
        with _import_path():
            await self._launcher.start()


@contextlib.contextmanager
def _import_path() -> Iterator[None]:
    """What is started in here imports from where this process does: a backend under test need not be installed."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(each or str(Path.cwd()) for each in sys.path)
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
