"""What a party is at work on, by query, so that it can be cancelled with it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Coroutine
from typing import Any

from .wire import current_query

_TO_END = 1.0
"""Seconds that a cancelled task of a query has to end before the query is forgotten."""


class Tasks:
    """Of one party's event loop; those of no query are under the empty id."""

    def __init__(self) -> None:
        self._tasks: defaultdict[str, set[asyncio.Task[None]]] = defaultdict(set)

    @property
    def busy(self) -> bool:
        return any(self._tasks.values())

    def spawn(self, query: str, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` as a task of `query`."""
        token = current_query.set(query)
        task = asyncio.get_running_loop().create_task(work)
        current_query.reset(token)
        tasks = self._tasks[query]
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def cancel(self, query: str) -> None:
        for task in list(self._tasks.get(query, ())):
            task.cancel()

    async def end(self, query: str) -> None:
        """Cancel those of a query that is over, and wait until they have ended."""
        if tasks := self._tasks.pop(query, set()):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=_TO_END)
