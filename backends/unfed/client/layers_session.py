"""One query's circuits where the entries run layers too, as its client has them."""

from __future__ import annotations

import asyncio

import msgspec
import torch

from unfed.plugins import Context, UnfedError

from ...mpc.transformer.parts import parts
from ...mpc.transformer.program import out_of_range
from ..circuits.cells import encode_told
from ..circuits.onion import new_id
from ..mpc_layers.cells import ToNode, read_guard, read_prepared, step
from ..names import ENTRIES
from .session import Due, Session
from .ways import Way


class LayersSession(Session):
    """Has every step prepared before it sends keys, and adds up what the entries say of guards that fell.

    Args:
        layers: how many the entries run.
        stated: see `Session`.
    """

    answering = (0, 1, 2)

    def __init__(self, ctx: Context, way: Way, layers: int, stated: bool) -> None:
        super().__init__(ctx, way, stated)
        self._few = msgspec.structs.replace(ctx.model.card, layers=layers)
        self._rows = 0
        self._due = [True for _ in ENTRIES]
        """Of each entry, whether it has to say next that a step is prepared."""
        self._prepared = [Due[None]() for _ in ENTRIES]
        self._guards = [Due[int]() for _ in ENTRIES]

    def parts(self, tokens: int) -> list[int]:
        return parts(self._few, tokens)

    async def prepare(self, tokens: int) -> None:
        with self._ctx.phase("randomness", "offline"):
            for number in range(len(ENTRIES)):
                await self._send(number, step(self._rows, tokens))
            self._rows += tokens
            await asyncio.gather(*(each.next() for each in self._prepared))

    async def result(self) -> torch.Tensor:
        """Likewise.

        Raises:
            UnfedError: a number left the range that the protocol can compute in, so that they would be wrong.
        """
        hidden = await super().result()
        if sum([await each.next() for each in self._guards]) % (1 << 64):
            if self._stated:  # as after any answer, or all would know that a guard fell
                await self.statements()
            raise out_of_range("use another prompt, or set unfed.mpc_layers=0")
        return hidden

    def _told(self, route: tuple[str, ...]) -> bytes:
        return encode_told(ToNode(self.session, self.reply, route, new_id(), new_id()))

    def fail(self, error: UnfedError) -> None:
        super().fail(error)
        for number in range(len(ENTRIES)):
            self._prepared[number].put_nowait(error)
            self._guards[number].put_nowait(error)

    def _heard(self, number: int, data: bytes) -> None:
        if number >= len(ENTRIES):
            super()._heard(number, data)
        elif self._due[number]:
            read_prepared(data)
            self._prepared[number].put_nowait(None)
            self._due[number] = False
        else:
            self._guards[number].put_nowait(read_guard(data))
            self._due[number] = True
