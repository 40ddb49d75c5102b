"""Parties of `mpc` that misbehave."""

from __future__ import annotations

import secrets
from typing import Any

import torch

from unfed.backends.mpc.client import Client
from unfed.backends.mpc.node import Node
from unfed.plugins import serve


class Greedy(Node):
    """Asks the dealer for the same material twice, as one would who wants to use it again."""

    @serve
    async def prepare(self, sender: str, *, step: int, start: int, tokens: int) -> None:
        await super().prepare(sender, step=step, start=start, tokens=tokens)
        await self.ctx.call("dealer", "material", step=step, start=start, tokens=tokens)


class _Lying(Node):
    """Sends its peer something else than shares."""

    def _lie(self, honest: torch.Tensor) -> dict[str, Any]:
        raise NotImplementedError

    def _run(self, session: object, keys: Any) -> tuple[torch.Tensor, torch.Tensor]:
        channel = self.ctx.channel("compute-0", f"shares {self.ctx.query}")
        for lie in self._lies(torch.zeros(len(keys.root) * self.ctx.model.card.hidden, dtype=torch.int64)):
            channel.send(**lie)
            channel.recv()  # what it had sent before it saw ours
        channel.recv()
        raise AssertionError("the peer goes on with what does not fit")

    def _lies(self, honest: torch.Tensor) -> list[dict[str, Any]]:
        return [self._lie(honest)]


class Misshapen(_Lying):
    """A share too few."""

    def _lie(self, honest: torch.Tensor) -> dict[str, Any]:
        return {"opened": honest[1:]}


class Mistyped(_Lying):
    """Real numbers."""

    def _lie(self, honest: torch.Tensor) -> dict[str, Any]:
        return {"opened": honest.double()}


class Garbage(_Lying):
    """Bytes."""

    def _lie(self, honest: torch.Tensor) -> dict[str, Any]:
        return {"opened": secrets.token_bytes(8 * len(honest))}


class Replaying(_Lying):
    """In the second round what it sent in the first."""

    def _lies(self, honest: torch.Tensor) -> list[dict[str, Any]]:
        return [{"opened": honest}, {"opened": honest}]


class Repeating(Client):
    """Has every step run twice, with the same keys."""

    async def _run(self, step: int, ids: list[int]) -> torch.Tensor:
        await super()._run(step, ids)
        return await super()._run(step, ids)
