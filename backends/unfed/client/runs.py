"""Sessions as they are run: over which way, and what comes of them."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from contextlib import aclosing, asynccontextmanager

import torch
from transformers import DynamicCache

from unfed.plugins import Context, Failure, Note, Route, UnfedError

from ...common.ends import Head
from ...common.sampling import Sampler
from ...common.shard import Shard
from ..names import VERIFIER
from .accounts import Accounts
from .layers_session import LayersSession
from .session import Session
from .ways import Way, Ways

TRIES = 6
"""Losses in a row, without a token between them, after which an answer is given up."""


class Runs:
    """Of one client.

    Args:
        tail: the last layers, where the client runs them itself.
        accounts: where nodes are held to what they do.
    """

    def __init__(
        self,
        ctx: Context,
        head: Head,
        tail: Shard | None,
        ways: Ways,
        accounts: Accounts | None,
    ) -> None:
        self._ctx, self._head, self._tail = ctx, head, tail
        self._ways, self._accounts = ways, accounts
        self._sessions: dict[bytes, Session] = {}

    async def tokens(
        self, prompt: list[int], sampler: Sampler
    ) -> AsyncGenerator[tuple[int, torch.Tensor] | Note | Route]:
        """Tokens, and the logits that each was taken from; and what happened on the way.

        Where a party is lost, what there is so far is asked again over others, or over whoever takes its place.
        """
        ids, tries = list(prompt), 0
        while True:
            way = await self._ways.way()
            try:
                async with self._session(way) as session:
                    if sampler.stopped is None:
                        async with aclosing(self._told(session, ids, sampler)) as found:
                            async for each in found:
                                if isinstance(each, tuple):
                                    ids.append(each[0])
                                    tries = 0
                                yield each
                        if self._accounts is not None:
                            for note in await self._accounts.settle(session, len(sampler.tokens)):
                                yield note
                return
            except UnfedError as error:
                party, tries = error.failure.party or "", tries + 1
                if error.failure.kind != "party-lost" or tries > TRIES or not await self._ways.misses(party):
                    raise
                if sampler.stopped is not None:
                    yield Note(kind="check", party=party, text="lost before the answer was accounted for")
                    return
                yield Note(kind="retry", party=party, text=f"lost; asked again from token {len(ids) - len(prompt)} on")

    async def decoy(self, prompt: list[int], sampler: Sampler) -> AsyncGenerator[tuple[int, torch.Tensor] | Route]:
        """Likewise, of a text that nobody has asked: then it is done again.

        Raises:
            UnfedError: it could not be, or a party was lost, which breaks it off; or naming who was caught.
        """
        assert self._accounts is not None
        async with self._session(await self._ways.way()) as session:
            async with aclosing(self._told(session, prompt, sampler)) as found:
                async for each in found:
                    yield each
            if told := await self._accounts.check(session, await self._accounts.said(session)):
                raise UnfedError(told, kind="timeout", party=VERIFIER)

    async def _told(
        self, session: Session, ids: Sequence[int], sampler: Sampler
    ) -> AsyncGenerator[tuple[int, torch.Tensor] | Route]:
        """What comes of a session, with the way that it takes and its pace."""
        yield Route(steps=session.way.steps)
        async with aclosing(self._run(session, list(ids), sampler)) as found:
            async for each in found:
                yield each
                if (seconds := session.pace.news(last=sampler.stopped is not None)) is not None:
                    yield Route(steps=session.way.steps, seconds=seconds)

    async def _run(
        self, session: Session, ids: list[int], sampler: Sampler
    ) -> AsyncGenerator[tuple[int, torch.Tensor]]:
        """Tokens after `ids`, and the logits that each was taken from."""
        start, asked = 0, len(ids)
        cache = None if self._tail is None else self._tail.new_cache()
        with self._ctx.phase("prefill"):
            await session.open()
        for size in session.parts(asked):
            await session.prepare(size)
            with self._ctx.phase("prefill"):
                await session.ask(ids[start : start + size], start)
                logits = self._logits(await session.result(), cache)
            start += size
        while True:
            token = sampler.take(logits)  # it is shown whoever is lost now: what is asked again goes on after it
            more = sampler.stopped is None
            lost = await _failure(session.prepare(1)) if more else None
            with self._ctx.phase("decode"):
                began = time.perf_counter()
                if more and lost is None:  # the nodes go on while the token is shown
                    lost = await _failure(session.ask([token], start))
                    start += 1
                yield token, logits
                if not more:
                    return
                if lost is not None:
                    raise lost
                logits = self._logits(await session.result(), cache)
                took = time.perf_counter() - began
                self._ways.took(session.way, took)
                session.pace.took(took)

    # -- sessions

    @asynccontextmanager
    async def _session(self, way: Way) -> AsyncIterator[Session]:
        """Fresh circuits, which are closed when the caller is done, however that comes."""
        layers: int = self._ctx.settings["mpc_layers"]
        stated = self._accounts is not None
        session = LayersSession(self._ctx, way, layers, stated) if layers else Session(self._ctx, way, stated)
        self._sessions |= dict.fromkeys(session.names, session)
        self._ways.begins(way)
        try:
            yield session
        finally:
            self._ways.over(way)
            for name in session.names:
                del self._sessions[name]
            await session.close()

    def lost(self, party: str, failure: Failure) -> None:
        self._ways.lost(party, failure)
        for session in set(self._sessions.values()):
            if party in session.way.parties:
                session.fail(UnfedError(failure.message, kind="party-lost", party=party, hint=failure.hint))
        if self._accounts is not None:
            self._accounts.verification.lost(party, failure)

    def returned(self, party: str) -> None:
        self._ways.returned(party)

    def _logits(self, hidden: torch.Tensor, cache: DynamicCache | None) -> torch.Tensor:
        """Logits [vocab] after the last of [1, t, width]."""
        if self._tail is not None and cache is not None:
            hidden = self._tail(hidden, cache)
        logits: torch.Tensor = self._head(hidden)
        return logits

    def came(self, sender: str, circuit: bytes, data: bytes) -> None:
        """A cell of a circuit of ours."""
        if (session := self._sessions.get(circuit)) is not None:
            session.came(sender, circuit, data)
        elif self._accounts is not None:
            self._accounts.verification.came(circuit, data)


async def _failure(work: Awaitable[None]) -> UnfedError | None:
    """Why it came to nothing, if it did."""
    try:
        await work
    except UnfedError as error:
        return error
    return None
