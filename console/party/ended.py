"""Queries that are over, so that what still arrives for them is known as late."""

from __future__ import annotations

_REMEMBERED = 4096


class Ended(dict[str, None]):
    """The ids of the last few thousand queries that ended. Any thread may look."""

    def add(self, query: str) -> None:
        self[query] = None
        if len(self) > _REMEMBERED:
            del self[next(iter(self))]
