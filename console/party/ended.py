"""Queries that are over, so that what still arrives for them is known as late."""

from __future__ import annotations

_REMEMBERED = 4096


class Ended:
    """The ids of the last few thousand queries that ended. Any thread may look."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}

    def add(self, query: str) -> None:
        self._ids[query] = None
        if len(self._ids) > _REMEMBERED:
            del self._ids[next(iter(self._ids))]

    def __contains__(self, query: str) -> bool:
        return query in self._ids
