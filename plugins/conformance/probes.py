"""The kit's end of the probes: a fleet in which every party answers questions about itself."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from ..plan import Plan
from .lab import Fleet
from .probe import REFERENCE, SETTING, Orders, Weight
from .rig import Rig

PATIENCE = 60.0
"""Seconds that a party may take to answer."""


class Probes:
    """A fleet of probes, from entering to leaving; one connection to each party besides its ordinary links."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._stack = contextlib.AsyncExitStack()
        self._lines: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
        self._came = asyncio.Event()
        self.fleet: Fleet

    async def __aenter__(self) -> Probes:
        async with contextlib.AsyncExitStack() as stack:
            # A short path of its own: addresses of this kind of socket have about a hundred characters.
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="unfed-"))
            path = str(Path(folder) / "kit")
            server = await asyncio.start_unix_server(self._greet, path, limit=1 << 24)
            stack.callback(server.close)
            plan = probing(self._rig.plan, path, self._rig.lab.knocker)
            self.fleet = await stack.enter_async_context(self._rig.fresh(plan))
            async with asyncio.timeout(PATIENCE):
                while len(self._lines) < len(plan.processes()):
                    self._came.clear()
                    await self._came.wait()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, writer in self._lines.values():
            writer.close()
        await self._stack.aclose()

    async def weigh(self) -> dict[str, Weight]:
        """What every party keeps, once none works ahead of queries."""
        await self.fleet.rested()
        return {name: msgspec.convert(await self._ask(name, None), Weight) for name in self._lines}

    async def knock(self, source: str, targets: Sequence[str]) -> list[dict[str, str]]:
        """Have `source` try every door of each target at once; door → how it was refused, empty where it got in."""
        addresses = self.fleet.addresses()
        answers = await self._ask(source, [addresses[target] for target in targets])
        return msgspec.convert(answers, list[dict[str, str]])

    async def _ask(self, name: str, question: Any) -> Any:
        reader, writer = self._lines[name]
        writer.write(msgspec.json.encode(question) + b"\n")
        async with asyncio.timeout(PATIENCE):
            return msgspec.json.decode(await reader.readline())

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name: str = msgspec.json.decode(await reader.readline())
        self._lines[name] = (reader, writer)
        self._came.set()


def probing(plan: Plan, socket: str, knocker: str) -> Plan:
    """The plan with every role played by a probe."""
    return msgspec.structs.replace(
        plan,
        parties=tuple(
            msgspec.structs.replace(
                party,
                role=REFERENCE,
                settings={
                    **party.settings,
                    SETTING: msgspec.to_builtins(Orders(role=party.role, socket=socket, knocker=knocker)),
                },
            )
            for party in plan.parties
        ),
    )
