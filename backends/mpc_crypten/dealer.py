"""The dealer: makes triples for the nodes with CrypTen's own server. It is told sizes, and opens no model."""

from __future__ import annotations

import asyncio

from unfed.plugins import Channel, Role, UnfedError, serve

from .backend import NODES
from .dealing import Server
from .session import install


class Dealer(Role):
    async def start(self) -> None:
        install()
        self._sessions: dict[str, _Session] = {}

    async def stop(self) -> None:
        for query in list(self._sessions):
            await self.forget(query)

    async def forget(self, query: str) -> None:
        if (session := self._sessions.pop(query, None)) is not None and session.channel is not None:
            session.channel.close()

    @serve
    async def seed(self, sender: str) -> bytes:
        """Of the numbers that a node and the dealer both know. Each node is told its own, once."""
        session = self._sessions.setdefault(self.ctx.query, _Session())
        if sender not in session.waiting:
            raise UnfedError(f"{sender} asked for a seed out of turn", kind="protocol", party=sender)
        return session.waiting.pop(sender)

    @serve
    async def deal(self, sender: str) -> None:
        """Make triples for a query until its channel ends."""
        session = self._sessions.get(self.ctx.query)
        if sender != NODES[0] or session is None or session.serving:
            raise UnfedError(f"{sender} asked for triples out of turn", kind="protocol", party=sender)
        session.serving = True
        await asyncio.to_thread(self._deal, session, f"crypten {self.ctx.query}")

    def _deal(self, session: _Session, purpose: str) -> None:
        session.channel = self.ctx.channel(NODES[0], purpose)
        try:
            session.server.serve(NODES[0], session.channel)
        except UnfedError as error:
            if error.failure.kind not in ("party-lost", "cancelled"):  # which others see, and tell
                raise


class _Session:
    """One query at the dealer."""

    def __init__(self) -> None:
        self.server = Server()
        self.waiting = dict(zip(NODES, self.server.seeds, strict=True))
        self.serving = False
        self.channel: Channel | None = None
