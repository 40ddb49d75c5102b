"""Parties of `mpc` that misbehave."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from typing import Any

import torch

from unfed.backends.mpc.backend import DEALER, OWNER
from unfed.backends.mpc.client import Client
from unfed.backends.mpc.node import Node
from unfed.backends.mpc.owner import Owner
from unfed.backends.mpc.pool import Session
from unfed.backends.mpc.secret import SecretNode
from unfed.backends.mpc.transformer.scales import Format
from unfed.backends.mpc.transformer.weights import Weights
from unfed.plugins import serve


class Greedy(Node):
    """Asks the dealer for the same material twice, as one would who wants to use it again."""

    @serve
    async def prepare(self, sender: str, *, session: str, step: int, start: int, tokens: int) -> None:
        asked = {"session": session, "step": step, "start": start, "tokens": tokens}
        await super().prepare(sender, **asked)
        await self.ctx.call("dealer", "material", **asked)


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

    async def _run(self, session: Session, step: int, ids: list[int]) -> torch.Tensor:
        await super()._run(session, step, ids)
        return await super()._run(session, step, ids)


class Renaming(Client):
    """Has a session prepared for another query than it is asked."""

    async def _step(self, phase: str, session: Session, step: int, ids: list[int]) -> torch.Tensor:
        session.id = "another"
        return await super()._step(phase, session, step, ids)


class Dying(Owner):
    """Is killed before it can share anything."""

    async def start(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Stingy(Owner):
    """Keeps a number of the second share back."""

    @serve
    async def second_share(self, sender: str, *, start: int) -> torch.Tensor:
        return (await super().second_share(sender, start=start))[:-1]


class TwoFaced(Owner):
    """Tells either node another format."""

    @serve
    async def format(self, sender: str) -> list[object]:
        ranges, scales, activation = self._format
        return [ranges, scales, activation * (2 if sender == "compute-1" else 1)]


class Curious(SecretNode):
    """Asks for its peer's share."""

    async def start(self) -> None:
        await self.ctx.call(OWNER, "first_share")


class Contrary(SecretNode):
    """Tells the dealer another format than its peer does."""

    async def _weights(self) -> tuple[Format, Weights]:
        format = Format.travelled(await self.ctx.call(OWNER, "format"))
        other = format._replace(activation=2 * format.activation)
        await asyncio.to_thread(self._meet, format)
        await asyncio.sleep(1.0)  # after its peer
        await self.ctx.call(DEALER, "masks", format=list(other))
        raise AssertionError("the dealer believes everything")
