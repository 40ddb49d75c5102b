"""Two parties that send payloads to and fro: by calls, and over a channel."""

from __future__ import annotations

import asyncio
import json
import statistics
import threading
import time
from collections.abc import AsyncIterator

import torch

from unfed.plugins import Answer, Channel, ClientRole, Query, Role, UnfedError, serve


class Pinger(ClientRole):
    """Times round trips. The prompt is JSON: `way` (call or channel), `size` in bytes, `trips`."""

    async def start(self) -> None:
        await self.ctx.call("echo", "open")
        self._channel: Channel = await asyncio.to_thread(self.ctx.channel, "echo", "bench")

    async def answer(self, query: Query) -> AsyncIterator[Answer]:
        asked = json.loads(query.prompt)
        payload = torch.arange(asked["size"] // 4, dtype=torch.float32)
        if asked["way"] == "call":
            took = await self._call(payload, asked["trips"])
        else:
            self._channel.query = query.id
            took = await asyncio.to_thread(self._exchange, payload, asked["trips"])
        yield Answer(text=json.dumps({"median": statistics.median(took)}))

    async def _call(self, payload: torch.Tensor, trips: int) -> list[float]:
        took = []
        for _ in range(trips):
            began = time.perf_counter()
            back = await self.ctx.call("echo", "echo", data=payload)
            took.append(time.perf_counter() - began)
        assert torch.equal(back, payload)
        return took

    def _exchange(self, payload: torch.Tensor, trips: int) -> list[float]:
        took = []
        for _ in range(trips):
            began = time.perf_counter()
            back = self._channel.exchange(data=payload)["data"]
            took.append(time.perf_counter() - began)
        assert torch.equal(back, payload)
        return took


class Echo(Role):
    """Sends back whatever comes."""

    @serve
    async def open(self, sender: str) -> None:
        threading.Thread(target=self._answer, args=(sender,), daemon=True).start()

    @serve
    async def echo(self, sender: str, *, data: torch.Tensor) -> torch.Tensor:
        return data

    def _answer(self, sender: str) -> None:
        channel = self.ctx.channel(sender, "bench")
        try:
            while True:
                channel.send(data=channel.recv()["data"])
        except UnfedError:
            return  # the fleet is going down
