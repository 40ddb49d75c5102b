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
        self._channels: dict[str, list[Channel]] = {}

    async def stop(self) -> None:
        for query in list(self._channels):
            await self.forget(query)

    async def forget(self, query: str) -> None:
        for channel in self._channels.pop(query, []):
            channel.close()

    @serve
    async def deal(self, sender: str) -> None:
        """Serve a query until its channels end."""
        if sender != NODES[0] or self.ctx.query in self._channels:
            raise UnfedError(f"{sender} asked for a dealer out of turn", kind="protocol", party=sender)
        self._channels[self.ctx.query] = []
        await asyncio.to_thread(self._serve, self.ctx.query)

    def _serve(self, query: str) -> None:
        server, channels = Server(), []
        for node, seed in zip(NODES, server.seeds, strict=True):
            channels.append(channel := self.ctx.channel(node, f"crypten {query}"))
            self._channels.setdefault(query, []).append(channel)
            channel.send(seed=seed)
        try:
            server.serve(NODES[0], channels[0])
        except UnfedError as error:
            if error.failure.kind not in ("party-lost", "cancelled"):  # which others see, and tell
                raise
