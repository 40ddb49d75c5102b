"""What the `fleet` commands do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from unfed.plugins import UnfedError
from unfed.plugins.host import PluginHost

from ..results.paths import expand, private_folder, run_folder
from ..runner.attached import AttachedFleet
from ..runner.build import Wanted, build
from ..runner.orders import Status, socket_path
from ..runner.session import Session
from ..runner.supervisor import Supervisor
from .attend import HURRIED, close_within, soon, this_task
from .entry import INTERRUPTED, NO_FLEET, OK, tell
from .interrupts import Interrupts, waking
from .narrate import Narrator
from .output import emit, print_json
from .sessions import check_sets, fleets_folder, log_folder
from .terminal import clean, size, table


def start(name: str, *, json: bool, audit: bool, **asked: Any) -> int:
    """Serve a fleet until it is stopped; returns the exit code.

    Raises:
        UnfedError: it could not be started.
    """
    folder = private_folder(fleets_folder())
    socket_path(folder, name)  # a name that cannot be is found before anything starts
    wanted = _absolute(Wanted(**asked))
    host, narrator = PluginHost(), Narrator()
    check_sets(wanted, host)
    was_ready = False

    async def serve() -> None:
        request = await build(wanted, host, narrator.say, asked=())
        if audit:
            request = msgspec.structs.replace(request, audit=run_folder("views"))
        session = Session(host, logs=log_folder(narrator.say))
        supervisor = Supervisor(name, folder, wanted, request, session)

        def interrupted() -> None:
            what = "stopping the fleet" if was_ready else "interrupted: ending the parties that have started"
            narrator.say(f"{what}; once more ends it at once")
            supervisor.stop()

        interrupts.ask, interrupts.insist = soon(interrupted), soon(this_task().cancel)

        def ready() -> None:
            nonlocal was_ready
            was_ready = True
            narrator.say(f"fleet {name!r} is ready; use it with: unfed-console compare --fleet {name}. Ctrl-C stops it")
            if json:
                print_json(supervisor.status())

        try:
            with waking():
                await supervisor.serve(narrator, ready)
        except asyncio.CancelledError:
            await close_within(session, HURRIED)

    interrupts = Interrupts()
    try:
        with interrupts:
            asyncio.run(serve())
    except UnfedError as error:
        if was_ready or error.failure.kind in ("bad-input", "unavailable"):
            raise
        tell(error)
        return NO_FLEET
    finally:
        narrator.end()
    if was_ready:
        narrator.say(f"fleet {name!r} has ended")
    return OK if was_ready else INTERRUPTED


def status(name: str | None, *, json: bool) -> int:
    """Print the fleets that run, or the one called `name`.

    Raises:
        UnfedError: the one that is named does not run.
    """
    found = asyncio.run(_reach(name))
    if json:
        print_json(found)
    elif not found:
        emit("No fleet is running; unfed-console fleet start NAME --profile demo starts one.")
    for each in () if json else found:
        emit(_told(each))
    return OK


def stop(name: str) -> int:
    """Stop a fleet.

    Raises:
        UnfedError: it does not run, or does not end.
    """

    async def end() -> None:
        fleet = await AttachedFleet.reach(fleets_folder(), name)
        try:
            await fleet.stop()
        finally:
            await fleet.close()

    asyncio.run(end())
    Narrator().say(f"fleet {name!r} has ended")
    return OK


async def _reach(name: str | None) -> list[Status]:
    names = [name] if name is not None else sorted(path.stem for path in fleets_folder().glob("*.sock"))
    found = []
    for each in names:
        try:
            fleet = await AttachedFleet.reach(fleets_folder(), each)
        except UnfedError:
            if name is not None:
                raise
            continue  # a socket that a killed supervisor left; the next start of this name replaces it
        try:
            found.append(await fleet.status())
        finally:
            await fleet.close()
    return found


def _told(status: Status) -> str:
    head = ["party", "role", "pid", "health", "cpu", "memory", "in", "out", "restarts"]
    rows = [
        [
            f"{party.variant}/{party.name}",
            party.role,
            str(party.pid),
            party.health + (f" ({party.note})" if party.note else ""),
            f"{party.cpu_seconds:.1f} s",
            size(party.pss_bytes or party.rss_bytes),
            size(party.bytes_in),
            size(party.bytes_out),
            str(party.restarts),
        ]
        for party in status.parties
    ]
    variants = ", ".join(status.variants)
    return (
        clean(f"fleet {status.name} (process {status.pid}): {variants}")
        + "\n"
        + table(head, rows, right=(2, 4, 5, 6, 7, 8), indent="  ")
    )


def _absolute(wanted: Wanted) -> Wanted:
    """With paths that mean the same from any folder: attached consoles run elsewhere."""
    profile, model = wanted.profile, wanted.model
    if profile is not None and profile.endswith(".toml"):
        profile = str(expand(profile).absolute())
    if model is not None and expand(model).is_dir():
        model = str(Path(expand(model)).absolute())
    return msgspec.structs.replace(wanted, profile=profile, model=model)
