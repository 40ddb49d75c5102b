"""Parties that load nothing and do nothing: what a fleet costs by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

from unfed.plugins import Answer, ClientRole, Query, Role


class Asker(ClientRole):
    async def answer(self, query: Query) -> AsyncIterator[Answer]:
        yield Answer(text="")


class Idler(Role):
    pass
