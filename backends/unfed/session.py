"""One query's circuits, as its client has them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import torch

from unfed.plugins import Context, UnfedError

from ..mpc.engine.embedding import keys
from .cells import ToEntry, asked, encode_told, read_result
from .onion import Circuit, Hop, Unsealed, new_id


class Session:
    """Fresh circuits over `paths`, guard first: to the entries, and to the last of the layers.

    Attributes:
        names: what the guard is told to call the circuits.
        answering: numbers of those that something comes back on.
    """

    answering: tuple[int, ...] = (2,)

    def __init__(self, ctx: Context, paths: Sequence[Sequence[Hop]]) -> None:
        self._ctx = ctx
        session, self._reply = new_id(), new_id()
        told = self._told(session, self._reply)
        self._circuits = [Circuit(path, this) for path, this in zip(paths, (told, told, self._reply), strict=True)]
        self._guard = paths[0][0].name
        self.names = tuple(new_id() for _ in self._circuits)
        self._results: asyncio.Queue[torch.Tensor] = asyncio.Queue()

    async def open(self) -> None:
        for name, circuit in zip(self.names, self._circuits, strict=True):
            await self._ctx.send(self._guard, "open", circuit=name, data=circuit.opening)

    def parts(self, tokens: int) -> list[int]:
        """Sizes of the parts that a prompt is asked in."""
        return [tokens]

    async def prepare(self, tokens: int) -> None:
        """Have done ahead what can be, for so many tokens that are asked next."""

    async def ask(self, ids: list[int], start: int) -> None:
        """Have tokens looked up and run through the layers, at the places from `start` on."""
        for number, each in enumerate(keys(ids, self._ctx.model.card.vocab)):
            await self._send(number, asked(start, each))
        for circuit in self._circuits:
            circuit.prepare()

    async def result(self) -> torch.Tensor:
        """Hidden states [1, t, width] that come back for what was asked next."""
        return await self._results.get()

    def came(self, sender: str, name: bytes, data: bytes) -> None:
        """A cell came back.

        Raises:
            UnfedError: (`protocol`) it is not what the end of the circuit sealed, or comes on the way out.
        """
        if (number := self.names.index(name)) not in self.answering:
            raise UnfedError(f"{sender} answers on a circuit that leads out", kind="protocol", party=sender)
        try:
            self._heard(number, self._circuits[number].open(data))
        except Unsealed as error:
            by = error.by or (sender,)
            raise UnfedError(f"{' or '.join(by)} sent back {error}", kind="protocol", party=by[0]) from None

    def _told(self, session: bytes, reply: bytes) -> bytes:
        """What the entries are told when their circuits are opened."""
        return encode_told(ToEntry(session, reply))

    async def _send(self, number: int, data: bytes) -> None:
        cell = self._circuits[number].seal(data)
        await self._ctx.send(self._guard, "cell", circuit=self.names[number], data=cell)

    def _heard(self, number: int, data: bytes) -> None:
        """What came back on a circuit. Raises Unsealed where it is something else than is due."""
        self._results.put_nowait(read_result(data, self._ctx.model.card.hidden))

    async def close(self) -> None:
        with contextlib.suppress(UnfedError):  # without a guard there is nothing left to close
            for name in self.names:
                await self._ctx.send(self._guard, "close", circuit=name)
