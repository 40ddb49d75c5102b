"""One rank of CrypTen: its sessions with the other rank and the dealer, whatever program it then runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from unfed.plugins import Channel, Role, UnfedError, serve

from .backend import DEALER, NODES
from .session import Session, install

Result = TypeVar("Result")


class Rank(Role):
    """A node that holds public weights. Subclasses add the program."""

    async def start(self) -> None:
        install()
        self._rank: int = self.ctx.settings["rank"]
        self._peer = NODES[1 - self._rank]
        self._open: dict[str, Opened] = {}
        self._worker = ThreadPoolExecutor(1, "crypten")  # CrypTen computes in one thread, a step at a time
        self.ctx.hold("weights opened", tensors=sorted(self.ctx.model.card.tensors))

    async def stop(self) -> None:
        for query in self._open.values():
            query.close()
        self._worker.shutdown(wait=False, cancel_futures=True)

    async def forget(self, query: str) -> None:
        if (found := self._open.pop(query, None)) is not None:
            found.close()

    @serve
    async def begin(self, sender: str) -> None:
        """Open the query's channels and agree on seeds with the other node and the dealer."""
        self._client_only(sender)
        if self.ctx.query in self._open:
            raise UnfedError(f"{sender} began a query twice", kind="protocol", party=sender)
        query = self._open[self.ctx.query] = Opened()
        seed = await self.ctx.call(DEALER, "seed")
        if self._rank == 0:
            await self.ctx.send(DEALER, "deal")
        query.session = await asyncio.to_thread(self._meet, query, f"crypten {self.ctx.query}", seed)

    def _meet(self, query: Opened, purpose: str, seed: object) -> Session:
        to_dealer = query.own(self.ctx.channel(DEALER, purpose)) if self._rank == 0 else None
        to_peer = query.own(self.ctx.channel(self._peer, purpose))
        return Session(self._rank, self._peer, DEALER, seed, to_peer, to_dealer)

    async def _work(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    def _session(self, sender: str) -> Session:
        query = self._open.get(self.ctx.query)
        if query is None or query.session is None:
            raise UnfedError(f"{sender} runs a query that it did not begin", kind="protocol", party=sender)
        return query.session

    def _client_only(self, sender: str) -> None:
        if sender != "client":
            raise UnfedError(f"{sender} asked for what only the client may", kind="protocol", party=sender)


class Opened:
    """What a query has open. It may end while its channels are still being opened, in another thread."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self._channels: list[Channel] = []
        self._closed = False

    def own(self, channel: Channel) -> Channel:
        self._channels.append(channel)
        if self._closed:
            channel.close()
        return channel

    def close(self) -> None:
        """End its channels; a thread that waits in one is woken with an error."""
        self._closed = True
        for channel in self._channels:
            channel.close()
