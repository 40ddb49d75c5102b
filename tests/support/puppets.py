"""Roles that do inside their party whatever a test tells them: a test names a coroutine of a module that parties can
import, `act` has it run in the party it names, and returns what it returned."""

from __future__ import annotations

import asyncio
import importlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from unfed.plugins import (
    Answer,
    Claim,
    ClientRole,
    Failure,
    Link,
    Note,
    Party,
    Plan,
    Query,
    Role,
    Route,
    Token,
    UnfedError,
    chain,
    serve,
)


async def perform(role: Role, what: str, args: dict[str, Any]) -> Any:
    module, _, name = what.partition(":")
    return await getattr(importlib.import_module(module), name)(role, **args)


class Puppet(Role):
    """A node. `act` goes along `path` and is performed at its end."""

    kept: dict[str, Any]

    async def start(self) -> None:
        self.kept = {}
        self.events: dict[str, asyncio.Event] = {}
        self.forgotten: list[str] = []
        self.arrived: list[tuple[int, float]] = []
        if what := self.ctx.settings.get("start"):
            await perform(self, what, dict(self.ctx.settings.get("args", {})))

    async def forget(self, query: str) -> None:
        self.forgotten.append(query)

    @serve
    async def act(self, sender: str, *, what: str, args: dict[str, Any], path: list[str]) -> Any:
        if path:
            return await self.ctx.call(path[0], "act", what=what, args=args, path=path[1:])
        return {"did": await perform(self, what, args)}

    @serve
    async def echo(self, sender: str, *, value: Any) -> Any:
        return {"value": value}

    @serve
    async def number(self, sender: str, *, value: int) -> Any:
        return {"value": value}

    @serve
    async def arrive(self, sender: str, *, number: int, data: Any) -> None:
        self.arrived.append((number, time.monotonic()))

    @serve
    async def note(self, sender: str, *, key: str, value: Any) -> None:
        self.kept.setdefault(key, []).append((sender, value))


class PuppetClient(Puppet, ClientRole):
    """The client: a prompt is JSON that says what to do, and where along which path; the answer is what came of it."""

    losses: list[list[Any]]

    async def start(self) -> None:
        self.losses = []
        await super().start()

    def lost(self, party: str, failure: Failure) -> None:
        if self.ctx.settings.get("cannot lose"):
            raise ValueError(party)
        self.losses.append(["lost", party, failure.kind, time.monotonic()])

    def returned(self, party: str) -> None:
        try:
            certificate = self.ctx.certificate(party)
        except UnfedError:
            certificate = ""
        self.losses.append(["returned", party, certificate, time.monotonic()])

    async def answer(self, query: Query) -> AsyncIterator[Token | Note | Route | Answer]:
        wish = json.loads(query.prompt)
        for note in wish["args"].pop("notes", []):
            yield Note(**note)
        for route in wish["args"].pop("routes", []):
            yield Route(**route)
        path = wish.get("path", [])
        if wish.get("token"):
            yield Token(id=1, text="began")
        if path:
            done = await self.ctx.call(path[0], "act", what=wish["what"], args=wish["args"], path=path[1:])
            done = done["did"]
        else:
            done = await perform(self, wish["what"], wish["args"])
        yield Answer(text=json.dumps(done))


NOTHING_PROMISED = (Claim(asset="prompt", property="confidentiality", against=("network",), basis="none"),)


def plan(*nodes: str | Party, links: tuple[Link, ...] | None = None, **more: Any) -> Plan:
    """A client and these nodes, in a chain unless `links` says otherwise."""
    parties = [node if isinstance(node, Party) else Party(node, "puppets:Puppet") for node in nodes]
    if not any(party.name == "client" for party in parties):
        parties.insert(0, Party("client", "puppets:PuppetClient"))
    if links is None:
        links = chain(*(party.name for party in parties))
    return Plan(parties=tuple(parties), links=links, guarantee=NOTHING_PROMISED, **more)
