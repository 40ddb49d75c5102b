"""The dealer: makes the nodes' correlated randomness, step by step, and learns nothing but lengths."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from unfed.plugins import Role, UnfedError, serve

from .backend import NODES
from .engine.blank import blank
from .engine.material import Deal
from .engine.session import Dealing
from .public import fixed
from .scales import Format
from .transformer import Cache, Transformer
from .warm import warm
from .weights import outline

Part = dict[str, Any]


class Dealer(Role):
    async def start(self) -> None:
        self._begin()
        format = Format.travelled(await self.ctx.call(NODES[0], "format"))
        self._transformer = Transformer(fixed(outline(self.ctx.model.card), format.scales), format)
        warm(self._transformer)

    def _begin(self) -> None:
        self._context: int = self.ctx.settings["context"]
        self._sessions: dict[str, _Session] = {}

    async def forget(self, query: str) -> None:
        self._sessions.pop(query, None)

    @serve
    async def material(self, sender: str, *, session: str, step: int, start: int, tokens: int) -> Part:
        """A node's part for `tokens` more rows of a session after `start` others: given once to each node, in order."""
        self._nodes_only(sender)
        if session == self.ctx.query:
            self._sessions.setdefault(session, _Session(self._transformer, self._context))
        if (known := self._sessions.get(session)) is None:
            raise UnfedError(f"{sender} goes on with a session that never began", kind="protocol", party=sender)
        async with known.lock:
            return await known.part(NODES.index(sender), sender, (step, start, tokens))

    def _nodes_only(self, sender: str) -> None:
        if sender not in NODES:
            raise UnfedError(f"{sender} asked for what only nodes may have", kind="protocol", party=sender)


class _Session:
    def __init__(self, transformer: Transformer, context: int) -> None:
        self.lock = asyncio.Lock()
        self._transformer = transformer
        self._context = context
        self._cache = Cache()
        self._next = (0, 0)  # step, rows before it
        self._taken = [0, 0]
        self._waiting: dict[int, tuple[tuple[int, int, int], Part]] = {}

    async def part(self, party: int, sender: str, asked: tuple[int, int, int]) -> Part:
        step, start, tokens = asked
        if step != self._taken[party]:
            raise UnfedError(
                f"{sender} asked for the material of step {step}, where {self._taken[party]} is next: it is given once",
                kind="protocol",
                party=sender,
            )
        if party in self._waiting:
            made_for, part = self._waiting[party]
            if made_for != asked:
                raise UnfedError(f"{sender} asked for other lengths than its peer", kind="protocol", party=sender)
            del self._waiting[party]
        else:
            if (step, start) != self._next or tokens < 1 or self._context < start + tokens:
                raise UnfedError(f"{sender} asked for lengths that cannot be", kind="protocol", party=sender)
            both = await asyncio.to_thread(self._deal, start, tokens)
            self._next = step + 1, start + tokens
            part, self._waiting[1 - party] = both[party], (asked, both[1 - party])
        self._taken[party] += 1
        return part

    def _deal(self, start: int, tokens: int) -> list[Part]:
        deal, given = Deal(), blank(tokens, self._transformer.weights.embedding.extent)
        self._transformer.step(Dealing(deal), given, self._cache, start)
        return [
            {"seed": seed, "common": np.frombuffer(common, np.uint8), "own": np.frombuffer(own, np.uint8)}
            for seed, common, own in deal.parts()
        ]
