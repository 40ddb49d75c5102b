"""A fleet that outlives one run: a foreground process that keeps parties up and serves runs over a socket.

The socket belongs to its user alone (0600). Both sides send length-prefixed msgpack: orders one way, notices the
other. It is as trusted as the console, since prompts pass it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec

from unfed.plugins import Failure, UnfedError

from .build import Wanted
from .notices import Watcher
from .orders import (
    CancelOrder,
    Interrupt,
    Refused,
    RunOrder,
    Status,
    StatusOrder,
    StopOrder,
    decode_order,
    packed,
    socket_path,
    unpacked,
)
from .request import Request
from .session import Session

_TO_LEAVE = 2.0
"""Seconds that attached consoles have to be told how their run ended."""


class Supervisor:
    """Keeps the fleets of one request up and lets others run prompts through them.

    Args:
        name: what `--fleet` calls it.
        folder: where its socket lies (made private).
        wanted: what it was asked to be, in the words of whoever asked; attached consoles build on it.
        request: what that came to; its prompts are not asked.
    """

    def __init__(self, name: str, folder: Path, wanted: Wanted, request: Request, session: Session) -> None:
        self._name = name
        self._path = socket_path(folder, name)
        self._wanted = wanted
        self._request = request
        self._session = session
        self._stop = asyncio.Event()
        self._attending: set[asyncio.Task[None]] = set()
        self._attached: set[asyncio.StreamWriter] = set()

    async def serve(self, watch: Watcher, ready: Callable[[], None]) -> None:
        """Bring the fleets up, call `ready`, and serve until told to stop, by `stop` here or by a console's order.

        Raises:
            UnfedError: the name is taken by a fleet that is alive, or no fleet could start.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        listener = _claim(self._path, self._name)
        try:
            server = await asyncio.start_unix_server(self._met, sock=listener)
            opening = asyncio.create_task(self._session.open(self._request, watch))
            stopping = asyncio.create_task(self._stop.wait())
            await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if opening.done():
                failed = opening.result()
                if len(failed) == len(self._request.variants):
                    raise UnfedError.of(next(iter(failed.values())).failure)
                ready()
                await stopping
            opening.cancel()
            stopping.cancel()
            await asyncio.gather(opening, stopping, return_exceptions=True)
            server.close()
        finally:
            listener.close()
            self._path.unlink(missing_ok=True)
            await self._session.close()
            for writer in self._attached:
                writer.close()
            if self._attending:
                await asyncio.wait(self._attending, timeout=_TO_LEAVE)

    def stop(self) -> None:
        """Have `serve` end the fleets and return."""
        self._stop.set()

    def status(self) -> Status:
        return Status(
            name=self._name,
            pid=os.getpid(),
            wanted=self._wanted,
            variants=tuple(variant.id for variant in self._request.variants),
            parties=self._session.parties(),
        )

    def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._attend(reader, writer))
        self._attending.add(task)
        task.add_done_callback(self._attending.discard)

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One attached console. When it goes, its run is interrupted."""
        interrupted = asyncio.Event()
        running: asyncio.Task[object] | None = None
        self._attached.add(writer)

        def say(message: msgspec.Struct) -> None:
            if not writer.is_closing():
                writer.write(packed(message))

        try:
            while (data := await unpacked(reader)) is not None:
                order = decode_order(data)
                if isinstance(order, StatusOrder):
                    say(self.status())
                elif isinstance(order, StopOrder):
                    say(self.status())
                    self._stop.set()
                elif isinstance(order, Interrupt):
                    interrupted.set()
                elif isinstance(order, CancelOrder):
                    self._session.cancel(order.variant)
                elif running is None:
                    running = asyncio.create_task(self._run(order, say, interrupted))
        except (ValueError, msgspec.MsgspecError) as error:
            say(Refused(Failure(kind="protocol", message=f"not an order: {error}")))
        finally:
            interrupted.set()
            self._attached.discard(writer)
            if running is not None:
                await asyncio.gather(running, return_exceptions=True)
            with contextlib.suppress(OSError):
                await writer.drain()
            writer.close()

    async def _run(self, order: RunOrder, say: Callable[[msgspec.Struct], None], interrupted: asyncio.Event) -> None:
        request = self._request
        chosen = tuple(v for v in request.variants if not order.variants or v.id in order.variants)
        request = msgspec.structs.replace(
            request,
            variants=chosen,
            prompts=order.prompts,
            images=order.images,
            refused=order.refused,
            sampling=order.sampling or request.sampling,
            timeout=order.timeout or request.timeout,
            concurrency=order.concurrency,
            race=order.race,
        )
        try:
            await self._session.run(request, say, interrupted, keep=True)
        except Exception as error:  # whoever waits for the record must be told something
            refusal = Failure(kind="internal", message=f"the run ended with {type(error).__name__}")
            say(Refused(error.failure if isinstance(error, UnfedError) else refusal))
            if not isinstance(error, UnfedError):
                raise


def _claim(path: Path, name: str) -> socket.socket:
    """A listening socket at `path`, which its user alone may reach. One that nobody serves any more is replaced."""
    if path.exists():
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except OSError:
                path.unlink(missing_ok=True)
            else:
                raise UnfedError(
                    f"a fleet called {name!r} is running already", hint=f"stop it: unfed-console fleet stop {name}"
                )
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise UnfedError(f"cannot listen at {path}: {error.strerror}", kind="fleet") from error
    finally:
        os.umask(before)
    listener.listen()
    return listener
