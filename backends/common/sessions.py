"""KV caches of the queries that a node is working on, and the checks that keep them in step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from unfed.plugins import UnfedError

Cache = TypeVar("Cache")


class Sessions(Generic[Cache]):
    """One cache per query, which grows by the tokens served and is dropped when the query is forgotten.

    A query is called here what it is called at this node.

    Args:
        new: makes an empty cache.
        context: positions that the model has; 0 for no limit.
    """

    def __init__(self, new: Callable[[], Cache], context: int) -> None:
        self._new = new
        self._context = context
        self._open: dict[str | bytes, tuple[Cache, int]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def advance(self, query: str | bytes, sender: str, start: int, tokens: int) -> Cache:
        """The cache of `query`, to be run over `tokens` more positions from `start`, which must be the next.

        Raises:
            UnfedError: (`protocol`, naming the sender) positions that are not next, none at all, or past the context.
        """
        cache, length = self._open.get(query) or (self._new(), 0)
        if start != length or tokens < 1:
            raise UnfedError(
                f"{sender} sent {tokens} positions from {start} on, where {length} is next",
                kind="protocol",
                party=sender,
            )
        if self._context and start + tokens > self._context:
            raise UnfedError(
                f"{sender} sent positions up to {start + tokens - 1}, and the context is {self._context}",
                kind="protocol",
                party=sender,
            )
        self._open[query] = (cache, length + tokens)
        return cache

    def forget(self, query: str | bytes) -> None:
        self._open.pop(query, None)
