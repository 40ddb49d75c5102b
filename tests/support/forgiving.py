"""A client of `unfed` that has everything checked by its options and forgives whoever is caught, to count how often."""

from __future__ import annotations

from collections.abc import AsyncIterator

from unfed.backends.unfed.client.client import Client
from unfed.plugins import Answer, Metric, Query, Token, UnfedError


class Forgiving(Client):
    """Says of every query whether it, or the decoy that followed the one before, failed its check."""

    async def answer(self, query: Query) -> AsyncIterator[Token | Metric | Answer]:
        caught = bool(self._caught._found)
        self._caught._found.clear()
        try:
            async for event in super().answer(query):
                if not isinstance(event, Answer):
                    yield event
        except UnfedError as error:
            if "failed a spot check" not in error.failure.message:
                raise
            caught = True
            self._caught._found.clear()
        yield Metric(name="caught", value=float(caught))
        yield Answer(text="", token_ids=(), stopped="length")
