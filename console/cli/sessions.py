"""The session a command works with: one of its own, or a running fleet's."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec

from unfed.plugins import UnfedError
from unfed.plugins.host import PluginHost
from unfed.plugins.options import nearest

from ..results.paths import run_folder, state_folder
from ..results.record import Record
from ..runner.build import Wanted, build
from ..runner.notices import Watcher
from ..runner.profile import find_profile
from ..runner.request import Request
from ..runner.sources import Say

ASKED = ("prompts", "file", "max_new_tokens", "temperature", "top_p", "seed", "timeout", "parallel")
"""What each run asks of a running fleet anew."""


class Closing(Protocol):
    """What can be closed."""

    async def close(self) -> None: ...


class Attended(Closing, Protocol):
    """The part of `unfed.console.runner.session.Session` that `compare` uses."""

    async def warm(self) -> None: ...

    async def run(self, request: Request, watch: Watcher) -> Record: ...

    def interrupt(self) -> None: ...


def open_session(host: PluginHost, say: Say) -> Attended:
    """A session of this process."""
    from ..runner.session import Session

    return Session(host, logs=log_folder(say))


def check_sets(wanted: Wanted, host: PluginHost) -> None:
    """See that no `--set` is for a backend that is installed and not chosen; all other faults are for `build` to find.

    Raises:
        UnfedError: one is, and how that backend is chosen.
    """
    chosen = list(wanted.backends or (find_profile(wanted.profile).backends if wanted.profile else ()))
    for text in wanted.sets:
        name = text.partition("=")[0].strip().rpartition(".")[0]
        if name in ("", "*", *chosen) or not {name, *chosen} <= set(host.backends()):
            continue
        added = [name] if wanted.backends else [*chosen, name]  # --backend takes the place of the profile's
        hint = f"add {' '.join(f'--backend {each}' for each in added)}"
        raise UnfedError(f"--set {text!r}: backend {name!r} is not chosen", hint=hint)


def fleets_folder() -> Path:
    """Where the sockets of running fleets lie."""
    return state_folder() / "fleets"


async def attach(name: str, asked: Wanted, host: PluginHost, say: Say) -> tuple[Attended, Request]:
    """The running fleet called `name`, and what is asked of it: its own backends, options, model and links.

    Args:
        asked: prompts, sampling and the fleet's backends to use (none: all); the rest must be left to the fleet.
    Raises:
        UnfedError: there is no such fleet, or something is asked that it settled when it was started.
    """
    from ..runner.attached import AttachedFleet

    settled = {"--profile": asked.profile, "--set": asked.sets, "--model": asked.model, "--links": asked.links}
    if taken := [flag for flag, value in settled.items() if value]:
        raise UnfedError(f"{', '.join(taken)} cannot be changed for a fleet that runs", hint="give it to fleet start")
    fleet = await AttachedFleet.reach(fleets_folder(), name)
    try:
        wanted = (await fleet.status()).wanted
        given = {key: value for key in ASKED if (value := getattr(asked, key)) is not None}
        if not (asked.prompts or asked.file) and wanted.profile is None:
            raise UnfedError("there is no prompt", hint="give --prompt TEXT or --prompts FILE")
        request = await build(msgspec.structs.replace(wanted, **given), host, say)
        for backend in asked.backends:
            known = sorted({variant.backend.name for variant in request.variants})
            if backend not in known:
                raise UnfedError(f"the fleet {name!r} has no backend {backend!r}", hint=nearest(backend, known))
        chosen = tuple(
            each for each in request.variants if each.backend.name in (asked.backends or (each.backend.name,))
        )
        return fleet, msgspec.structs.replace(request, variants=chosen)
    except BaseException:
        await fleet.close()
        raise


def log_folder(say: Say) -> Path:
    """Where the parties' logs go: the state folder, or a temporary one where that cannot be written."""
    try:
        return run_folder("logs")
    except UnfedError:
        import tempfile

        folder = Path(tempfile.mkdtemp(prefix="unfed-logs-"))
        say(f"logs go to {folder}")
        return folder
