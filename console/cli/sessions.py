"""The session a command works with: one of its own, or a running fleet's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from unfed.plugins import UnfedError
from unfed.plugins.host import PluginHost

from ..results.paths import run_folder
from ..results.record import Record
from ..runner.notices import Watcher
from ..runner.request import Request


class Attended(Protocol):
    """The part of `unfed.console.runner.session.Session` that `compare` uses."""

    async def warm(self) -> None: ...

    async def run(self, request: Request, watch: Watcher) -> Record: ...

    def interrupt(self) -> None: ...

    async def close(self) -> None: ...


async def open_session(host: PluginHost, fleet: str | None, say: Callable[[str], None]) -> Attended:
    """A session of this process, or one that works through the fleet called `fleet`.

    Raises:
        UnfedError: there is no such fleet.
    """
    from ..runner.session import Session

    return Session(host, logs=log_folder(say))


def log_folder(say: Callable[[str], None]) -> Path:
    """Where the parties' logs go: the state folder, or a temporary one where that cannot be written."""
    try:
        return run_folder("logs")
    except UnfedError:
        import tempfile

        folder = Path(tempfile.mkdtemp(prefix="unfed-logs-"))
        say(f"logs go to {folder}")
        return folder
