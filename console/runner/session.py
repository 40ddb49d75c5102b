"""A session: the fleets that a screen or a command keeps up, and the runs it makes through them."""

from __future__ import annotations

import asyncio
import traceback
from collections import deque
from pathlib import Path

from unfed.plugins import Launcher, Note, UnfedError
from unfed.plugins.host import PluginHost

from ..fleet.fleet import Fleet
from ..fleet.logs import file_name
from ..fleet.process import LocalLauncher
from ..fleet.state import PartyState
from ..results.record import News, Record, news
from .conduct import Run
from .notices import FleetFailed, FleetReady, FleetStarting, Notice, PartyChanged, Told, Watcher
from .request import Request
from .variants import Variant

KEPT = 100
"""Of each fleet, what its client told last that is no query's."""


class Session:
    """Fleets by variant. Those that fit the next request are kept, the others are replaced.

    Args:
        host: plugins.
        logs: folder of the parties' logs.
        launcher: starts processes; by default a fork server of this session's own.
    """

    def __init__(self, host: PluginHost, *, logs: Path, launcher: Launcher | None = None) -> None:
        self._host = host
        self._logs = logs
        self._launcher: Launcher = launcher or LocalLauncher(logs)
        self._fleets: dict[str, Fleet] = {}
        self._made_for: dict[str, object] = {}
        self._watchers: list[Watcher] = []
        self._news: dict[str, deque[News]] = {}
        self._unrecorded: dict[str, deque[News]] = {}
        self._runs: set[Run] = set()
        self._opening = asyncio.Lock()

    async def warm(self) -> None:
        """Start what makes the first fleet quick; returns at once."""
        await self._launcher.start()

    async def open(self, request: Request, watch: Watcher, *, keep: bool = False) -> dict[str, UnfedError]:
        """Bring up the fleets that `request` needs; returns why, for each that could not start.

        Fleets that were made for something else, or are broken, are ended; others too, unless told to `keep` them.
        """
        async with self._opening:
            self._watchers.append(watch)
            try:
                return await self._open(request, keep)
            finally:
                self._watchers.remove(watch)

    async def _open(self, request: Request, keep: bool) -> dict[str, UnfedError]:
        needed = {variant.id: self._needs(variant, request) for variant in request.variants}
        stale = [
            id_
            for id_, fleet in self._fleets.items()
            if fleet.unfit() or ((id_ in needed or not keep) and self._made_for[id_] != needed.get(id_))
        ]
        await asyncio.gather(*(self._drop(id_) for id_ in stale))
        missing = [variant for variant in request.variants if variant.id not in self._fleets]
        outcomes = await asyncio.gather(*(self._start(variant, request) for variant in missing))
        return {variant.id: error for variant, error in zip(missing, outcomes, strict=True) if error is not None}

    async def run(
        self, request: Request, watch: Watcher, interrupted: asyncio.Event | None = None, *, keep: bool = False
    ) -> Record:
        """Prompts × variants of `request`; the whole record, partial once `interrupted` is set.

        Args:
            keep: leave fleets up that this request does not need.
        """
        run = Run(self._host, request, watch, interrupted or asyncio.Event())
        self._runs.add(run)
        stopping = asyncio.create_task(self._interrupts(run))
        opening = asyncio.create_task(self.open(request, watch, keep=keep))
        try:
            await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                return run.finish(self.parties())
            self._watchers.append(watch)
            for variant in request.variants:
                for each in self._unrecorded.pop(variant.id, ()):  # nobody may have watched when it came
                    run.hear(each)
                    watch(Told(each))
            try:
                return await run.conduct(self._fleets, opening.result())
            finally:
                self._watchers.remove(watch)
        finally:
            self._runs.discard(run)
            for task in (opening, stopping):
                task.cancel()
            await asyncio.gather(opening, stopping, return_exceptions=True)

    async def _interrupts(self, run: Run) -> None:
        await run.interrupted.wait()
        run.interrupt()

    def interrupt(self) -> None:
        """Have every run end soon, with what it has."""
        for run in self._runs:
            run.interrupt()

    def cancel(self, variant: str) -> None:
        """End the queries that this variant has in flight."""
        for run in self._runs:
            run.cancel(variant)

    async def kill(self, variant: str, party: str) -> None:
        self._fleet(variant, party).kill(party)

    async def restart(self, variant: str, party: str) -> None:
        """Replace a party by a fresh one under a new key."""
        await self._fleet(variant, party).restart(party)

    def parties(self) -> list[PartyState]:
        return [state for fleet in self._fleets.values() for state in fleet.parties()]

    def news(self) -> list[News]:
        """What the clients of the fleets that are up told last that is no query's, by fleet in the order it came."""
        return [each for told in self._news.values() for each in told]

    def log_tail(self, variant: str, party: str, lines: int = 200) -> list[str]:
        return self._fleet(variant, party).log_tail(party, lines)

    async def stop(self, variant: str) -> None:
        """End one fleet."""
        await self._drop(variant)

    async def close(self) -> None:
        """End every fleet and the launcher."""
        self.interrupt()
        await asyncio.gather(*(self._drop(id_) for id_ in list(self._fleets)))
        await self._launcher.close()

    def _told(self, variant: str, note: Note) -> None:
        """It goes into the records of the runs that go on, or of the next one."""
        found = news(variant, note)
        self._news.setdefault(variant, deque(maxlen=KEPT)).append(found)
        if not [run for run in self._runs if run.hear(found)]:
            self._unrecorded.setdefault(variant, deque(maxlen=KEPT)).append(found)
        self._tell(Told(found))

    def _tell(self, notice: Notice) -> None:
        for watch in self._watchers:
            watch(notice)

    def _fleet(self, variant: str, party: str) -> Fleet:
        fleet = self._fleets.get(variant)
        if fleet is None or party not in fleet.plan.processes():
            raise UnfedError(f"there is no party {variant}/{party}", hint="the fleet may have been stopped")
        return fleet

    async def _start(self, variant: Variant, request: Request) -> UnfedError | None:
        self._tell(FleetStarting(variant.id))
        try:
            fleet = Fleet(
                variant.id,
                variant.backend.name,
                variant.backend().plan_for(request.models, variant.options),
                request.models,
                launcher=self._launcher,
                logs=self._logs,
                link=request.emulation,
                views=request.audit / file_name(variant.id) if request.audit else None,
                changed=lambda state: self._tell(PartyChanged(state)),
                told=lambda note: self._told(variant.id, note),
            )
            await fleet.start()
        except Exception as problem:
            self._forget(variant.id)
            error = _told(problem, variant)
            self._tell(FleetFailed(variant.id, error.failure))
            return error
        self._fleets[variant.id] = fleet
        self._made_for[variant.id] = self._needs(variant, request)
        self._tell(FleetReady(variant.id, fleet.setup_seconds))
        return None

    async def _drop(self, variant: str) -> None:
        fleet = self._fleets.pop(variant, None)
        self._made_for.pop(variant, None)
        if fleet is not None:
            await fleet.stop()
        self._forget(variant)

    def _forget(self, variant: str) -> None:
        """What the parties of a fleet did that is gone is nobody's news."""
        self._news.pop(variant, None)
        self._unrecorded.pop(variant, None)

    @staticmethod
    def _needs(variant: Variant, request: Request) -> object:
        """What a fleet was made for: if it is equal, the fleet can serve."""
        return (variant.backend, variant.settings, dict(request.models), request.emulation, request.audit)


def _told(error: Exception, variant: Variant) -> UnfedError:
    """The error as a person should read it; one that is no `UnfedError` is a plugin's bug, and no other variant's."""
    if isinstance(error, UnfedError):
        return error
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return UnfedError(
        f"{variant.id} could not be started: {type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}",
        kind="internal",
        hint=f"report it to the author of backend {variant.backend.name}",
    )
