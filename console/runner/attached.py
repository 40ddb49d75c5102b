"""The other end of a supervisor: runs prompts through a fleet that somebody else keeps up."""

from __future__ import annotations

import asyncio
from pathlib import Path

from unfed.plugins import UnfedError

from ..results.record import Record, Result
from .notices import ResultReady, RunBegan, RunEnded, Watcher
from .orders import (
    CancelOrder,
    FleetReport,
    Interrupt,
    Refused,
    RunOrder,
    Status,
    StatusOrder,
    StopOrder,
    decode_report,
    packed,
    socket_path,
    unpacked,
)
from .outcome import blank
from .request import Request

PATIENCE = 15.0


class AttachedFleet:
    """A connection to a fleet that somebody keeps up; runs like a `Session`. Use `AttachedFleet.reach`."""

    def __init__(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.name = name
        self._reader, self._writer = reader, writer

    @classmethod
    async def reach(cls, folder: Path, name: str) -> AttachedFleet:
        """The fleet called `name`, whose socket lies in `folder`. Raises UnfedError where none is running."""
        path = socket_path(folder, name)
        try:
            reader, writer = await asyncio.open_unix_connection(str(path))
        except OSError as error:
            raise UnfedError(
                f"no fleet called {name!r} is running",
                hint=f"start it: unfed-console fleet start {name} --profile demo",
            ) from error
        return cls(name, reader, writer)

    async def status(self) -> Status:
        return await self._ask_status(StatusOrder())

    async def stop(self) -> Status:
        """Tell it to stop; returns what it was, once it has ended."""
        status = await self._ask_status(StopOrder())
        try:
            async with asyncio.timeout(PATIENCE):
                while await self._reader.read(1 << 16):
                    pass
        except TimeoutError:
            raise UnfedError(f"the fleet {self.name!r} does not end", kind="fleet", hint=f"kill {status.pid}") from None
        return status

    async def warm(self) -> None:
        """It is warm."""

    async def run(self, request: Request, watch: Watcher) -> Record:
        """Run the prompts of `request` through those variants of it that the fleet has under the same ids.

        Where the supervisor ends before the run does, what it had answered is kept, and the rest has failed.

        Raises:
            UnfedError: the supervisor refused, or ended before the run had begun.
        """
        order = RunOrder(
            prompts=request.prompts,
            images=dict(request.images),
            refused=dict(request.refused),
            sampling=request.sampling,
            variants=tuple(variant.id for variant in request.variants),
            timeout=request.timeout,
            concurrency=request.concurrency,
            race=request.race,
        )
        self._writer.write(packed(order))
        begun: Record | None = None
        results: dict[tuple[str, str], Result] = {}
        while True:
            try:
                report = await self._hear()
            except UnfedError as error:
                if begun is None:
                    raise
                return _broken_off(begun, request, results, error, watch)
            if isinstance(report, Refused):
                raise UnfedError.of(report.failure)
            if isinstance(report, Status):
                continue
            watch(report)
            if isinstance(report, RunBegan):
                begun = report.record
            elif isinstance(report, ResultReady):
                results[report.result.variant, report.result.prompt_id] = report.result
            elif isinstance(report, RunEnded):
                return report.record

    def interrupt(self) -> None:
        """Have the run end soon, with what it has."""
        self._writer.write(packed(Interrupt()))

    def cancel(self, variant: str) -> None:
        self._writer.write(packed(CancelOrder(variant)))

    async def close(self) -> None:
        self._writer.close()

    async def _ask_status(self, order: StatusOrder | StopOrder) -> Status:
        self._writer.write(packed(order))
        try:
            async with asyncio.timeout(PATIENCE):
                while not isinstance(report := await self._hear(), Status):
                    pass
                return report
        except TimeoutError:
            raise UnfedError(f"the fleet {self.name!r} does not answer", kind="fleet") from None

    async def _hear(self) -> FleetReport:
        data = await unpacked(self._reader)
        if data is None:
            raise UnfedError(f"the fleet {self.name!r} ended", kind="fleet", hint="look at the terminal it ran in")
        report: FleetReport = decode_report(data)
        return report


def _broken_off(
    record: Record, request: Request, results: dict[tuple[str, str], Result], error: UnfedError, watch: Watcher
) -> Record:
    """The record of a run whose supervisor is gone."""
    for prompt in request.prompts:
        for variant in request.variants:
            if (variant.id, prompt.id) not in results:
                results[variant.id, prompt.id] = blank(variant, prompt, error.failure)
                watch(ResultReady(results[variant.id, prompt.id]))
            record.results.append(results[variant.id, prompt.id])
    record.status = "complete"
    watch(RunEnded(record))
    return record
