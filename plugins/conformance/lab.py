"""What the kit needs of a console: real fleets, model cards, records, and knocks on doors.

The kit imports no console. It names one as a role is named, and the console's own class is found when a lab is opened.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..backend import Backend, Models
from ..image import Image
from ..models import ModelCard
from ..options import Options
from ..plan import Plan
from ..query import Contribution, Event, Query, Trace
from ..view import View

CONSOLE = "unfed.console.runner.lab:ConsoleLab"


class PartyState(Protocol):
    """One process of a fleet at one moment."""

    @property
    def name(self) -> str: ...

    @property
    def pid(self) -> int: ...

    @property
    def trusted(self) -> bool: ...

    @property
    def health(self) -> str: ...

    @property
    def messages_out(self) -> int: ...


class Settlement(Protocol):
    """What the parties report on a query that is over."""

    @property
    def trace(self) -> Trace: ...

    @property
    def contributions(self) -> Sequence[Contribution]: ...

    @property
    def views(self) -> Sequence[tuple[View, int, int]]: ...

    @property
    def adopted(self) -> Sequence[str]:
        """Ids of what was done ahead for it, which is in all of these."""
        ...


class Fleet(Protocol):
    """The running parties of a plan."""

    @property
    def plan(self) -> Plan: ...

    @property
    def setup_seconds(self) -> float: ...

    def ask(self, query: Query, timeout: float) -> AsyncIterator[Event]: ...

    def cancel(self, query: str) -> None: ...

    async def settle(self, query: str) -> Settlement: ...

    async def rested(self, within: float = ...) -> bool:
        """Wait until the client does nothing ahead of queries; False where it still does after `within` seconds."""
        ...

    def parties(self) -> Sequence[PartyState]: ...

    def addresses(self) -> dict[str, dict[str, Any]]:
        """Process → where it listens and the certificate it shows, in terms that the lab's knocker understands."""
        ...

    async def stop(self) -> None: ...


class Lab(Protocol):
    """A console as the kit uses it, made from a folder that its files go to (the parties' logs under `logs`)."""

    knocker: str
    """Module whose `knock(ctx, address)` is called inside parties, by `probe`."""

    async def card(self, reference: str) -> ModelCard:
        """The card of a model folder or id. Raises `UnfedError`."""
        ...

    async def start(self, backend: str, plan: Plan, models: Models, views: Path | None) -> Fleet:
        """A running fleet, audited where `views` names a folder. Raises `UnfedError`."""
        ...

    async def record(
        self,
        backend: type[Backend],
        options: Options,
        models: Models,
        prompts: Sequence[str | Image],
        max_new_tokens: int,
    ) -> tuple[dict[str, Any], list[str]]:
        """A whole run's record as JSON-able values, and what its schema finds wrong with it."""
        ...

    async def stranger(self, address: Mapping[str, Any]) -> dict[str, str]:
        """Knock with a key that stands in no roster; door → how it was refused, empty where it was not."""
        ...

    async def close(self) -> None:
        """End everything that was started."""
        ...


def open_lab(folder: Path, reference: str = CONSOLE) -> Lab:
    """The lab whose class is called `reference`, with `folder` for its files."""
    module, _, name = reference.partition(":")
    lab: Lab = getattr(importlib.import_module(module), name)(folder)
    return lab
