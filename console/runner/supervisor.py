"""A fleet that outlives one run: a foreground process that keeps parties up and serves runs over a socket.

The socket belongs to its user alone (0600). Both sides send length-prefixed msgpack: orders one way, notices the
other. It is as trusted as the console, since prompts pass it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec

from unfed.plugins import Failure, UnfedError

from ..fleet.state import PartyState
from ..results.record import Prompt
from .build import Wanted
from .notices import Notice, Watcher
from .request import Request, Sampling
from .session import Session

MAX_ORDER = 64 << 20
MAX_PATH = 100
"""A socket's path must fit the system's 108 bytes."""


class RunOrder(msgspec.Struct, frozen=True, tag="run", kw_only=True):
    """Run these prompts; variants empty means all of the fleet's."""

    prompts: tuple[Prompt, ...]
    sampling: Sampling | None = None
    variants: tuple[str, ...] = ()
    timeout: float | None = None
    concurrency: int = 1
    race: bool = False


class Interrupt(msgspec.Struct, frozen=True, tag="interrupt"):
    pass


class CancelOrder(msgspec.Struct, frozen=True, tag="cancel"):
    variant: str


class StatusOrder(msgspec.Struct, frozen=True, tag="status"):
    pass


class StopOrder(msgspec.Struct, frozen=True, tag="stop"):
    pass


class Status(msgspec.Struct, frozen=True, tag="status", kw_only=True):
    """What a fleet is: its process, what it was asked to be, its variants and parties."""

    name: str
    pid: int
    wanted: Wanted
    variants: tuple[str, ...]
    parties: list[PartyState]


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    failure: Failure


FleetOrder = RunOrder | Interrupt | CancelOrder | StatusOrder | StopOrder
FleetReport = Notice | Status | Refused

_decode = msgspec.msgpack.Decoder(FleetOrder).decode
_encode = msgspec.msgpack.Encoder().encode


def packed(message: msgspec.Struct) -> bytes:
    data = _encode(message)
    return len(data).to_bytes(4, "little") + data


async def unpacked(reader: asyncio.StreamReader) -> bytes | None:
    """The next message's bytes; None at the end. Raises ValueError when it is larger than `MAX_ORDER`."""
    try:
        length = int.from_bytes(await reader.readexactly(4), "little")
        if length > MAX_ORDER:
            raise ValueError(f"a message of {length} bytes")
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def socket_path(folder: Path, name: str) -> Path:
    """Where the fleet called `name` listens. Raises UnfedError for a name that is none."""
    if not name or not all(character.isalnum() or character in "-_" for character in name):
        raise UnfedError(f"{name!r} cannot name a fleet", hint="use letters, digits, - and _")
    path = folder / f"{name}.sock"
    if len(os.fsencode(path)) > MAX_PATH:
        raise UnfedError(f"the path {path} is too long for a socket", hint="set UNFED_STATE_DIR to a shorter folder")
    return path


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
        self._attached: set[asyncio.StreamWriter] = set()

    async def serve(self, watch: Watcher, ready: Callable[[], None]) -> None:
        """Bring the fleets up, call `ready`, and serve until told to stop (by `stop`, SIGINT or SIGTERM).

        Raises:
            UnfedError: the name is taken by a fleet that is alive, or no fleet could start.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        listener = _claim(self._path, self._name)
        try:
            server = await asyncio.start_unix_server(self._attend, sock=listener)
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

    def status(self) -> Status:
        return Status(
            name=self._name,
            pid=os.getpid(),
            wanted=self._wanted,
            variants=tuple(variant.id for variant in self._request.variants),
            parties=self._session.parties(),
        )

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
                order = _decode(data)
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
