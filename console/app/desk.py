"""What the screens need from the rest of the console, as protocols: tests put scripted doubles in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from unfed.plugins import Backend, UnfedError
from unfed.plugins.host import Unavailable

from ..fleet.state import PartyState
from ..results.record import News, Prompt, Record
from ..runner.notices import Watcher
from ..runner.request import Request, Sampling

if TYPE_CHECKING:
    from ..results.tables import Summary


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator has chosen: the next request is made from it.

    Attributes:
        options: backend → option → value as typed; a comma makes a sweep, as `--set` does.
        links: name of a link profile or numbers, as `--links` takes them.
        timeout: seconds per query.
        audit: whether views are recorded.
    """

    profile: str | None = None
    backends: tuple[str, ...] = ()
    options: Mapping[str, Mapping[str, str]] = {}
    sampling: Sampling = Sampling()
    links: str = "none"
    timeout: float = 120.0
    race: bool = False
    audit: bool = False


class SessionLike(Protocol):
    """The part of `unfed.console.runner.session.Session` that screens use."""

    async def warm(self) -> None: ...

    async def run(self, request: Request, watch: Watcher) -> Record: ...

    async def open(self, request: Request, watch: Watcher) -> Mapping[str, UnfedError]: ...

    def interrupt(self) -> None: ...

    def cancel(self, variant: str) -> None: ...

    async def kill(self, variant: str, party: str) -> None: ...

    async def restart(self, variant: str, party: str) -> None: ...

    def parties(self) -> list[PartyState]: ...

    def news(self) -> list[News]: ...

    def log_tail(self, variant: str, party: str, lines: int = 200) -> list[str]: ...

    async def close(self) -> None: ...


class Desk(Protocol):
    """Everything besides the session: plugins, profiles, the store. Calls may take a moment; workers make them."""

    def session(self) -> SessionLike:
        """The one session of this console; its parties live until it is closed."""
        ...

    def profiles(self) -> Sequence[str]: ...

    def choice(self, profile: str | None) -> Choice:
        """What a profile asks for; None is the profile that ships. Raises `UnfedError`."""
        ...

    def defaults(self, profile: str | None) -> Mapping[str, Mapping[str, Any]]:
        """Backend → option → value under a profile, where it differs from what the backend declares."""
        ...

    def link_profiles(self, profile: str | None) -> Sequence[str]:
        """Names that `links` may have."""
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

    def request(self, choice: Choice, prompt: Prompt | None) -> Request:
        """The request that a choice comes to; without a prompt one that only fleets are started for.

        Raises:
            UnfedError: whatever in it cannot be used.
        """
        ...

    def examples(self, choice: Choice) -> Sequence[Prompt]:
        """Prompts that come with the profile; the first one is the demo."""
        ...

    def save(self, record: Record) -> Sequence[str]:
        """Store a run and tell plugins of it; a line for each plugin that failed. Raises `UnfedError`."""
        ...

    def runs(self) -> Sequence[Summary]:
        """Saved runs, the latest first. Raises `UnfedError`."""
        ...

    def record(self, run_id: str) -> Record: ...

    def export(self, run_id: str, kind: Literal["json", "csv"], path: Path) -> None:
        """Write a saved run to `path`, which must not exist. Raises `UnfedError`."""
        ...

    def folders(self) -> tuple[Path, Path]:
        """The state folder and the config folder; they may not exist."""
        ...
