"""A client that works ahead of queries, as a test's settings say, and adopts what it made for the next one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

from puppets import Puppet, PuppetClient

from unfed.console.party.control import Adopted, Ahead
from unfed.plugins import Answer, Note, Query, Token, UnfedError


class Foresighted(PuppetClient):
    """Settings: `takes`, seconds of working ahead; `fails`, whether and how it fails at that; `late`, whether it adopts
    only once its query is cancelled; `tells`, notes of each time; `parting`, a note for its end; `again`, seconds after
    which it wants to be called again, once each; `unused`, whether it adopts nothing."""

    made = 0
    ready = ""

    async def ahead(self) -> float | None:
        self.made += 1
        name = f"ahead{self.made}"
        with self.ctx.ahead(name), self.ctx.phase("making", "offline"):
            await self.ctx.call("a", "act", what="foresight:help_out", args={}, path=[])
            await asyncio.sleep(self.ctx.settings.get("takes", 0.05))
            self.ctx.contribute(made=1)
        tells: list[list[dict[str, Any]]] = self.ctx.settings.get("tells", [])
        for note in tells[self.made - 1] if self.made <= len(tells) else ():
            self.ctx.tell(Note(**note))
        if self.ctx.settings.get("fails"):
            raise (ValueError if self.ctx.settings["fails"] == "badly" else UnfedError)("-".join(["not", "told"]))
        self.ready = "" if self.ctx.settings.get("unused") else name
        again: list[float] = self.ctx.settings.get("again", [])
        return again[self.made - 1] if self.made <= len(again) else None

    async def stop(self) -> None:
        if note := self.ctx.settings.get("parting"):
            self.ctx.tell(Note(**note))
            print("it has parted", file=sys.stderr, flush=True)

    async def answer(self, query: Query) -> AsyncIterator[Token | Answer]:
        wish = json.loads(query.prompt)
        with contextlib.ExitStack() as stack:
            if self.ready:
                (stack.callback if self.ctx.settings.get("late") else _at_once)(self.ctx.adopt, self.ready)
                self.ready = ""
            if not wish:
                yield Answer(text=json.dumps(self.made))
                return
            async for event in super().answer(query):
                yield event


class Slow(Puppet):
    """Takes its time to forget a query."""

    async def forget(self, query: str) -> None:
        await asyncio.sleep(0.2)


def _at_once(do: Any, name: str) -> None:
    do(name)


async def help_out(role: Any) -> str:
    """At a node, for no query: whose it seems to be."""
    role.ctx.contribute(helped=1)
    return str(role.ctx.query)


async def forge(role: Any) -> str:
    """At a node: say what only the client may."""
    link = role.ctx._telling._link
    link.send(Ahead(True))
    link.send(Adopted(role.ctx.query, "another's"))
    return "done"
