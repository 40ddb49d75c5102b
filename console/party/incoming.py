"""What peers call and send: each message becomes a task of its query, once there is a role for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Set
from typing import Any

from unfed.plugins import Failure, UnfedError

from .connection import Connection
from .control import Trouble
from .ended import Ended
from .frames import CALL, Frame, Header
from .handlers import Handler
from .tasks import Tasks
from .wire import Wire

_EARLY = 4096
"""Messages that may arrive before the role is ready for them."""


class Incoming:
    """Of one party.

    Args:
        ended: queries whose messages are late.
        tell: sends a report to the launcher.
        explain: makes a failure of an error.
    """

    def __init__(
        self,
        ended: Ended,
        tasks: Tasks,
        tell: Callable[[Trouble], None],
        explain: Callable[[BaseException, str], Failure],
    ) -> None:
        self._ended, self._tasks, self._tell, self._explain = ended, tasks, tell, explain
        self._wire: Wire | None = None
        self._handlers: dict[str, Handler] = {}
        self._early: list[tuple[Connection, Frame]] = []

    def begin(self, handlers: dict[str, Handler], wire: Wire) -> None:
        """The role has started: take up what came before, and answer over `wire`."""
        self._handlers, self._wire = handlers, wire
        early, self._early = self._early, []
        for connection, frame in early:
            try:
                self.arrived(connection, frame)
            except ValueError as error:
                connection.drop(str(error), broke_protocol=True)

    def arrived(self, connection: Connection, frame: Frame) -> None:
        """Take a call or message up. Raises ValueError where the role serves nothing of the kind."""
        header = frame.header
        if header.query in self._ended:
            return
        if self._wire is None:
            if len(self._early) >= _EARLY:
                raise ValueError(f"more than {_EARLY} messages before this party was ready")
            self._early.append((connection, frame))  # its sender was ready before us
            return
        if (handler := self._handlers.get(header.name)) is None:
            raise ValueError(f"there is no method {header.name[:64]!r} here")
        values = handler.check(frame.values())
        self._tasks.spawn(header.query, self._handle(self._wire, connection, header, handler, values))

    async def _handle(
        self, wire: Wire, connection: Connection, header: Header, handler: Handler, values: dict[str, Any]
    ) -> None:
        try:
            value = await handler(connection.peer, values)
            if header.kind == CALL:
                await wire.answer(connection, header, value)
        except Exception as error:
            failure = self._explain(error, f"{header.name} failed")
            if header.kind == CALL:
                with contextlib.suppress(UnfedError):
                    wire.fault(connection, header, UnfedError.of(failure))
            else:
                self._tell(Trouble(header.query, failure))

    def complain(self, error: UnfedError, queries: Set[str]) -> None:
        """A peer broke the protocol, or a message cannot be recorded, which is about these queries."""
        for query in queries:
            self._tell(Trouble(query, error.failure))
