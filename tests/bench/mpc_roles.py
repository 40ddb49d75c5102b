"""Two nodes, a dealer and a client that measures: any `mpc_works.Work` on our engine, over the project's own links.

The prompt is JSON: `work` and the `number` of its input. The answer is JSON: seconds `offline` and `online` on the
client's clock; of these, those of the dealer's `deal` and of the slower node's `fetch`, `expand` and `compute`; the
largest `error` against float64; `rounds`, `sent` and `material` in bytes for one node.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench.mpc_works import Lifted, Work, arrays, public, secret, secrets, table

from unfed.backends.common.folded import fold
from unfed.backends.mpc import owner
from unfed.backends.mpc.engine import ring
from unfed.backends.mpc.engine.blank import blank
from unfed.backends.mpc.engine.embedding import Keys, keys, look_up
from unfed.backends.mpc.engine.rows import HALF, Rows
from unfed.backends.mpc.engine.session import Computing, Deal, Dealing, Draw, Preparing
from unfed.backends.mpc.node import exchanging
from unfed.backends.mpc.owner import Sharing
from unfed.backends.mpc.secret import blanks, opening, share_of
from unfed.backends.mpc.shared import flat, size, unflat
from unfed.backends.mpc.weights import outline
from unfed.plugins import Answer, Channel, ClientRole, Query, Role, UnfedError, serve

NODES = ("compute-0", "compute-1")


SETS = {"mlp": 16}
"""For how many runs material is made at once, where more than one: seconds `offline` are those of one of them."""

PREPARED = ("offline", "deal", "fetch", "expand", "material")


class Client(ClientRole):
    async def start(self) -> None:
        self._ahead: dict[str, list[list[dict[str, Any]]]] = {}
        self._folder = Path(self.ctx.settings["folder"])
        self._inputs = {name: arrays(self._folder, name) for name in self.ctx.settings["works"]}
        self._table = np.load(self._folder / "table.npy", mmap_mode="r") if "embedding" in self._inputs else None

    async def answer(self, query: Query) -> AsyncIterator[Answer]:
        asked = json.loads(query.prompt)
        work = asked["work"]
        yield Answer(text=json.dumps(await self._compute(work, asked["number"])))

    async def _compute(self, work: str, number: int) -> dict[str, float]:
        stored = self._inputs[work]
        number %= len(stored["ids" if work == "embedding" else "x"])
        prepared = await self._prepared(work)
        given, made = prepared[0]["given"], prepared[0]["made"]
        began = time.perf_counter()
        if self._table is not None and work == "embedding":
            ids = stored["ids"][number].tolist()
            wanted = self._table[ids].astype(np.float64)
            replies = await self._both("look_up", *(each._asdict() for each in keys(ids, len(self._table))))
        else:
            wanted = stored["wanted"][number]
            shares = ring.share(ring.encode(torch.from_numpy(stored["x"][number]), given))
            replies = await self._both("run", *({"share": share} for share in shares), work=work)
        found = ring.decode(replies[0]["result"] + replies[1]["result"], made)
        online = time.perf_counter() - began
        if int(replies[0]["guard"] + replies[1]["guard"]):
            raise UnfedError(f"{work} left the range that was calibrated", kind="role")
        return {
            "online": online,
            "error": float((found - torch.from_numpy(wanted)).abs().max()),
            **{name: max(each[name] for each in prepared) for name in PREPARED},
            **{name: max(each[name] for each in replies) for name in ("compute", "rounds", "sent")},
        }

    async def _prepared(self, work: str) -> list[dict[str, Any]]:
        """What both nodes tell of the material of the next run, of which there is some afterwards."""
        if not (ahead := self._ahead.setdefault(work, [])):
            sets = SETS.get(work, 1)
            began = time.perf_counter()
            told = await self._both("prepare", work=work, sets=sets)
            seconds = (time.perf_counter() - began) / sets
            ahead += [[each | {"offline": seconds} for each in told]] * sets
        return ahead.pop()

    async def _both(self, method: str, *own: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
        """Both nodes' replies to a call with the same `fields`, and with `own` ones for each."""
        sent = own or ({}, {})
        return await asyncio.gather(
            *(self.ctx.call(node, method, **fields, **each) for node, each in zip(NODES, sent, strict=True))
        )


class _Worker(Role):
    """Knows the programs. `_folded` gives the block's model."""

    _folded: Callable[[Any], Any]

    async def start(self) -> None:
        self._folder = Path(self.ctx.settings["folder"])
        self._model = type(self)._folded(self.ctx.model)
        self._names = [name for name in self.ctx.settings["works"] if name != "embedding"]
        self._works: dict[str, Work] = {}
        await self._make()
        if "embedding" in self.ctx.settings["works"]:
            self._works["embedding"] = Lifted()

    async def _make(self) -> None:
        self._works = {name: public(self._folder, name, self._model) for name in self._names}


class Node(_Worker):
    _folded = staticmethod(fold)

    async def start(self) -> None:
        self._party = NODES.index(self.ctx.name)
        self._made: dict[str, deque[Any]] = {}  # by work; runs take from it in order
        self._channel: Channel | None = None
        await super().start()
        if "embedding" in self.ctx.settings["works"]:
            self._table = Rows(table(self._folder), HALF)

    @serve
    async def prepare(self, sender: str, *, work: str, sets: int) -> dict[str, Any]:
        began = time.perf_counter()
        part = await self.ctx.call("dealer", "material", work=work, sets=sets)
        fetched = time.perf_counter()
        data = part["seed"], part["common"].numpy().data, part["own"].numpy().data
        program = self._works[work]
        self._made[work] = self._prepare(program, sets, data)
        return {
            "given": program.given,
            "made": program.made,
            "deal": part["seconds"] / sets,
            "fetch": (fetched - began) / sets,
            "expand": (time.perf_counter() - fetched) / sets,
            "material": sum(map(len, data)) / sets,
        }

    def _prepare(self, program: Work, sets: int, data: tuple[bytes, memoryview, memoryview]) -> deque[Any]:
        preparing = Preparing(Draw(self._party, *data))
        for _ in range(sets):
            program(preparing, blank(*program.shape))
        preparing.draw.finish()
        return preparing.made

    @serve
    async def run(self, sender: str, *, work: str, share: torch.Tensor) -> dict[str, Any]:
        return self._run(self._works[work], self._made[work], share)

    def _run(self, program: Work, made: deque[Any], share: torch.Tensor) -> dict[str, Any]:
        if self._channel is None:
            self._channel = self.ctx.channel(NODES[1 - self._party], "shares")
        channel = self._channel
        channel.query = self.ctx.query

        def exchange(mine: torch.Tensor) -> torch.Tensor:
            theirs: torch.Tensor = channel.exchange(opened=mine)["opened"]
            return theirs

        began = time.perf_counter()
        run = Computing(self._party, made, exchange)
        result, guard = program(run, share)
        took = time.perf_counter() - began
        return {"result": result, "guard": guard, "compute": took, "rounds": run.rounds, "sent": run.sent}

    @serve
    async def look_up(
        self, sender: str, *, root: torch.Tensor, seeds: torch.Tensor, bits: torch.Tensor, last: torch.Tensor
    ) -> dict[str, Any]:
        return await asyncio.to_thread(self._embedded, Keys(root, seeds, bits, last), self._made["embedding"])

    def _embedded(self, keys: Keys, made: deque[Any]) -> dict[str, Any]:
        began = time.perf_counter()
        rows = look_up(self._party, keys, self._table)
        took = time.perf_counter() - began
        told = self._run(self._works["embedding"], made, rows)
        return told | {"compute": took + told["compute"]}


class Dealer(_Worker):
    _folded = staticmethod(lambda model: outline(model.card))

    async def start(self) -> None:
        self._lock = asyncio.Lock()
        self._waiting: dict[tuple[str, str], dict[str, Any]] = {}
        await super().start()

    async def forget(self, query: str) -> None:
        self._waiting = {key: part for key, part in self._waiting.items() if key[0] != query}

    @serve
    async def material(self, sender: str, *, work: str, sets: int) -> dict[str, Any]:
        async with self._lock:
            if (self.ctx.query, sender) not in self._waiting:
                for node, part in zip(NODES, self._deal(self._works[work], sets), strict=True):
                    self._waiting[self.ctx.query, node] = part
            return self._waiting.pop((self.ctx.query, sender))

    def _deal(self, program: Work, sets: int) -> list[dict[str, Any]]:
        began = time.perf_counter()
        deal = Deal()
        for _ in range(sets):
            program(Dealing(deal), blank(*program.shape))
        parts = deal.parts()
        took = time.perf_counter() - began
        return [
            {"seed": seed, "common": _array(common), "own": _array(own), "seconds": took} for seed, common, own in parts
        ]


class Owner(owner.Owner):
    """Shares the weights of all computations, as the backend's own does."""

    async def start(self) -> None:
        folder, model = Path(self.ctx.settings["folder"]), fold(self.ctx.model)
        self._sharing = Sharing(flat([m for work in self.ctx.settings["works"] for m in secrets(folder, work, model)]))


class SecretNode(Node):
    _folded = staticmethod(lambda model: outline(model.card))

    async def _make(self) -> None:
        shapes = {work: secrets(self._folder, work, self._model) for work in self._names}
        joined = [linear for work in self._names for linear in shapes[work]]
        shares = iter(unflat(await share_of(self.ctx, self._party, size(joined)), joined))
        channel = await asyncio.to_thread(self.ctx.channel, NODES[1 - self._party], "weights")
        for work, mine in shapes.items():
            seed = await self.ctx.call("dealer", "masks", work=work)
            run = opening(self._party, seed, mine, exchanging(channel, NODES[1 - self._party]))
            given = [next(shares) for _ in mine]
            self._works[work] = await asyncio.to_thread(secret, self._folder, work, self._model, run, given)
        channel.close()


class SecretDealer(Dealer):
    async def _make(self) -> None:
        self._seeds: dict[str, tuple[bytes, bytes]] = {}
        for work in self._names:
            deal, shapes = Deal(), [blanks(linear) for linear in secrets(self._folder, work, self._model)]
            self._works[work] = secret(self._folder, work, self._model, Dealing(deal), shapes)
            self._seeds[work] = deal.seeds

    @serve
    async def masks(self, sender: str, *, work: str) -> bytes:
        return self._seeds[work][NODES.index(sender)]


def _array(data: bytes) -> Any:
    return np.frombuffer(data, np.uint8)
