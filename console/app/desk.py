"""What the screens need from the rest of the console, as protocols: tests put scripted doubles in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from unfed.plugins import Backend, Plan
from unfed.plugins.host import Unavailable

from ..fleet.state import PartyState
from ..results.record import Prompt, Record
from ..runner.notices import Watcher
from ..runner.request import Request, Sampling
from ..runner.variants import Variant


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator has chosen: the next request is made from it.

    Attributes:
        options: backend → option → value as typed; a comma makes a sweep, as `--set` does.
        links: name of the link profile, None for links as they are.
        timeout: seconds per query.
        audit: whether views are recorded.
    """

    profile: str | None = None
    backends: tuple[str, ...] = ()
    options: Mapping[str, Mapping[str, str]] = {}
    sampling: Sampling = Sampling()
    links: str | None = None
    timeout: float = 120.0
    race: bool = False
    audit: bool = False


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """One saved run, for the list."""

    run_id: str
    started: str
    profile: str
    status: str
    prompts: int
    variants: tuple[str, ...]
    ok: int
    failed: int


class SessionLike(Protocol):
    """The part of `unfed.console.runner.session.Session` that screens use."""

    async def warm(self) -> None: ...

    async def run(self, request: Request, watch: Watcher) -> Record: ...

    async def open(self, request: Request, watch: Watcher) -> None: ...

    def interrupt(self) -> None: ...

    def cancel(self, variant: str) -> None: ...

    async def kill(self, variant: str, party: str) -> None: ...

    async def restart(self, variant: str, party: str) -> None: ...

    def parties(self) -> list[PartyState]: ...

    def log_tail(self, variant: str, party: str, lines: int = 200) -> list[str]: ...

    async def close(self) -> None: ...


class Desk(Protocol):
    """Everything besides the session: plugins, profiles, the store. Calls may take a moment; workers make them."""

    def session(self) -> SessionLike:
        """The one session of this console; its parties live until it is closed."""
        ...

    def profiles(self) -> Sequence[str]: ...

    def link_profiles(self) -> Sequence[str]: ...

    def choice(self, profile: str | None) -> Choice:
        """What a profile asks for. Raises `UnfedError`."""
        ...

    def backends(self) -> Mapping[str, type[Backend]]:
        """Backends that can be imported, by name."""
        ...

    def unavailable(self) -> Sequence[Unavailable]:
        """Plugins that cannot be imported, and why."""
        ...

    def plugins(self) -> Sequence[tuple[str, str, str]]:
        """Kind, name and title of everything that plugins offer."""
        ...

    def variants(self, choice: Choice) -> Sequence[Variant]:
        """The variants of a choice, sweeps spread out. Raises `UnfedError`."""
        ...

    def plan(self, choice: Choice, variant: Variant) -> Plan:
        """What a variant asks for, with the models of the choice's profile. Raises `UnfedError`."""
        ...

    def request(self, choice: Choice, prompt: Prompt) -> Request:
        """Raises `UnfedError`."""
        ...

    def examples(self, choice: Choice) -> Sequence[Prompt]:
        """Prompts that come with the profile; the first one is the demo."""
        ...

    def save(self, record: Record) -> None:
        """Raises `UnfedError`."""
        ...

    def runs(self) -> Sequence[RunRow]:
        """Saved runs, the latest first. Raises `UnfedError`."""
        ...

    def record(self, run_id: str) -> Record: ...

    def export(self, run_id: str, kind: Literal["json", "csv"], path: Path) -> None:
        """Write a saved run to `path`, which must not exist. Raises `UnfedError`."""
        ...

    def folders(self) -> tuple[Path, Path]:
        """The state folder and the config folder; they may not exist."""
        ...
