"""The dealer's side of a session: its material, step by step, for each node once."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from unfed.plugins import UnfedError

from ..engine.blank import blank
from ..engine.material import Deal
from ..engine.session import Dealing
from .program import Cache, Transformer

Part = dict[str, Any]


class DealtSession:
    """Makes both nodes' parts of a step when the first of them asks, and keeps the other one until it is asked for.

    Args:
        context: the most rows that a session may have.
    """

    def __init__(self, transformer: Transformer, context: int) -> None:
        self._lock = asyncio.Lock()
        self._transformer = transformer
        self._context = context
        self._cache = Cache()
        self._next = (0, 0)  # step, rows before it
        self._taken = [0, 0]
        self._waiting: dict[int, tuple[tuple[int, int, int], Part]] = {}

    async def part(self, party: int, sender: str, step: int, start: int, tokens: int) -> Part:
        """What node `party`, called `sender`, is given for a step of `tokens` rows after `start` others.

        Raises:
            UnfedError: (`protocol`, naming the sender) out of turn, or of lengths that cannot be.
        """
        async with self._lock:
            return await self._part(party, sender, (step, start, tokens))

    async def _part(self, party: int, sender: str, asked: tuple[int, int, int]) -> Part:
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
