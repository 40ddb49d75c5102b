"""Launchers: how a party's process comes to be. Local processes are built in; other hosts are plugins."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec

from .models import ModelCard


class OpenedModel(msgspec.Struct, frozen=True):
    """A model, and the parts of it that one party may read."""

    card: ModelCard
    opens: tuple[str, ...]


class Emulation(msgspec.Struct, frozen=True):
    """An emulated link: one-way `delay` in seconds, `bandwidth` in bytes per second (0: as fast as it goes)."""

    delay: float = 0.0
    bandwidth: float = 0.0
    burst: int = 65536


class PartySpec(msgspec.Struct, frozen=True, kw_only=True):
    """All that one process is told at its start. Peers and their keys follow in its roster."""

    variant: str
    name: str
    role: str
    settings: Mapping[str, Any] = {}
    models: Mapping[str, OpenedModel] = {}
    threads: int = 1
    link: Emulation = Emulation()
    private_ids: bool = False
    tape: str | None = None
    listen: str = "127.0.0.1"
    port: int = 0

    @property
    def title(self) -> str:
        """The process title, as `ps` and `top` show it."""
        return f"unfed {self.variant}/{self.name}"


class PartyProcess(ABC):
    """A running process and its control link.

    `codec` says how the control messages travel: length-prefixed `msgpack`, or `json` lines as `unfed-node` speaks.
    """

    codec: Literal["msgpack", "json"] = "msgpack"
    pid: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    log: Path | None
    note: str = ""
    """What its launcher knows of its end besides the status."""
    local: bool = True
    """Whether `pid` is one of this host, so that the process can be looked at."""

    @abstractmethod
    async def wait(self) -> int:
        """Its exit status (negative: the signal that ended it), as soon as it has ended."""

    @abstractmethod
    def kill(self) -> None:
        """End it at once; nothing happens if it has ended already."""


class Launcher(ABC):
    """Starts processes that speak the control protocol (see docs/architecture.md).

    Args:
        logs: a folder for logs of its own.
    """

    name: ClassVar[str]

    @abstractmethod
    def __init__(self, logs: Path) -> None: ...

    @abstractmethod
    async def start(self) -> None:
        """Prepare in the background whatever makes the first launch quick; returns at once."""

    @abstractmethod
    async def launch(self, spec: PartySpec, log: Path) -> PartyProcess:
        """Start one process for `spec` whose stderr goes to `log`; it waits for its spec on the control link."""

    @abstractmethod
    async def close(self) -> None:
        """End whatever is still running."""


class ModelSource(ABC):
    """Turns a model reference that is no folder into a folder, such as a hub's id."""

    name: ClassVar[str]

    @abstractmethod
    async def fetch(self, reference: str) -> Path | None:
        """The model's folder, None if the reference is not of this source's kind. Raises `UnfedError` on failure."""
