"""One query's circuits, as its client has them."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from hashlib import sha256
from typing import TypeVar

import torch

from unfed.plugins import CLIENT, Context, UnfedError

from ...mpc.engine.embedding import keys
from ..circuits.cells import ToEntry, asked, done, encode_told, over
from ..circuits.onion import Circuit, Unsealed, new_id
from ..integrity.statements import Signed, Trail, raw
from ..nodes.results import read_back
from .pace import Pace
from .ways import Way

T = TypeVar("T")


class Due(asyncio.Queue[T | UnfedError]):
    """What comes, in its order; an error is raised where it is due, and from then on."""

    async def next(self) -> T:
        found = await self.get()
        if isinstance(found, UnfedError):
            self.put_nowait(found)
            raise found
        return found


class Session:
    """Fresh circuits: to the entries, and to the last of the layers.

    Args:
        way: whom they lead over.
        stated: whether the nodes are to state what they did.
    Attributes:
        names: what the guard is told to call the circuits.
        answering: numbers of those that something comes back on.
        session, reply: what the nodes call it.
        secret: whoever shows it may see what the nodes sent.
        pace: how fast its tokens come.
        cells: by entry, what it was asked, and at which place.
        asked, results: trails of that, and of what came back.
        over_since: when the nodes were asked to state what they did, on the loop's clock.
    """

    answering: tuple[int, ...] = (2,)

    def __init__(self, ctx: Context, way: Way, stated: bool = False) -> None:
        self._ctx, self.way = ctx, way
        self.session, self.reply, self.secret = new_id(), new_id(), secrets.token_bytes(32)
        told = self._told(way.route)
        self._circuits = [Circuit(path, this) for path, this in zip(way.paths, (told, told, self.reply), strict=True)]
        self._guard = way.paths[0][0].name
        self.names = tuple(new_id() for _ in self._circuits)
        self._stated = stated
        self.pace = Pace()
        self.lost: UnfedError | None = None
        self.over_since = 0.0
        self._closed = False
        self.cells: tuple[list[tuple[int, bytes]], ...] = ([], [])
        self.asked = tuple(Trail(self.session, CLIENT) for _ in self.cells)
        self.results = Trail(self.reply, way.route[-1])
        self._results = Due[torch.Tensor]()
        self._statements: asyncio.Future[list[Signed]] = asyncio.get_running_loop().create_future()

    @property
    def release(self) -> bytes:
        """What the nodes know of `secret`."""
        return sha256(self.leave).digest()

    @property
    def leave(self) -> bytes:
        """Whoever shows it may have the nodes forget."""
        return sha256(self.secret).digest()

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
        cells = [asked(start, each) for each in keys(ids, self._ctx.model.card.vocab)]
        for number, data in enumerate(cells):
            await self._send(number, data)
        for circuit in self._circuits:
            circuit.prepare()
        if self._stated:
            for data, trail, kept in zip(cells, self.asked, self.cells, strict=True):
                trail.add(start, data)
                kept.append((start, data))

    async def result(self) -> torch.Tensor:
        """Hidden states [1, t, width] that come back for what was asked next."""
        return await self._results.next()

    async def statements(self) -> list[Signed]:
        """What all nodes state that they did, now that nothing more is asked: both entries, then layer after layer."""
        self.over_since = asyncio.get_running_loop().time()
        for number in range(len(self.cells)):
            await self._send(number, over(self.release))
        return await self._statements

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

    def _told(self, route: tuple[str, ...]) -> bytes:
        """What the entries are told when their circuits are opened."""
        return encode_told(ToEntry(self.session, self.reply, route))

    def fail(self, error: UnfedError) -> None:
        """Nothing comes any more: whoever waits is told why."""
        self.lost = error
        self._results.put_nowait(error)
        if not self._statements.done():
            self._statements.set_exception(error)
            self._statements.exception()  # it may be that nobody waits

    async def _send(self, number: int, data: bytes) -> None:
        cell = self._circuits[number].seal(data)
        await self._ctx.send(self._guard, "cell", circuit=self.names[number], data=cell)

    def _heard(self, number: int, data: bytes) -> None:
        """What came back on a circuit. Raises Unsealed where it is something else than is due."""
        found = read_back(data, self._ctx.model.card.hidden)
        if isinstance(found, torch.Tensor):
            if self._stated:
                if (step := self.results.steps) >= len(self.cells[0]):
                    raise Unsealed("more than was asked for")
                self.results.add(self.cells[0][step][0], raw(found))
            self._results.put_nowait(found)
        elif not self._statements.done():
            self._statements.set_result(found)

    async def close(self, *, kept: bool = False) -> None:
        """Close the circuits. Nodes are to forget what they stated, unless it is `kept` for a check."""
        if self._closed:
            return
        self._closed = True
        if self._statements.done() and self.lost is None:
            leave = secrets.token_bytes(32) if kept else self.leave  # which looks the same to whoever hands it on
            with contextlib.suppress(UnfedError):
                for number in range(len(self.cells)):
                    await self._send(number, done(leave))
        with contextlib.suppress(UnfedError):  # without a guard there is nothing left to close
            for name in self.names:
                await self._ctx.send(self._guard, "close", circuit=name)
