"""Starting fleets for a bench, and asking them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.plugins import Answer, Failed, Finished, Query, Token, UnfedError

TIMEOUT = 300.0


@asynccontextmanager
async def one_launcher(folder: Path) -> AsyncIterator[LocalLauncher]:
    """A fork server of our own that is warm."""
    launcher = LocalLauncher(folder / "logs")
    try:
        await launcher.start()
        assert launcher.warm is not None
        await launcher.warm
        yield launcher
    finally:
        await launcher.close()


async def tokens_of(fleet: Fleet, query: Query) -> tuple[list[Token], Answer]:
    """Every token of one query and its answer; the query is settled. Raises UnfedError where it fails."""
    tokens: list[Token] = []
    answer = None
    async for event in fleet.ask(query, TIMEOUT):
        if isinstance(event, Token):
            tokens.append(event)
        elif isinstance(event, Finished):
            answer = event.answer
        elif isinstance(event, Failed):
            raise UnfedError.of(event.error)
    await fleet.settle(query.id)
    assert answer is not None
    return tokens, answer


async def asking(fleet: Fleet, identifier: str, prompt: str) -> Answer:
    return (await tokens_of(fleet, Query(id=identifier, prompt=prompt)))[1]
