"""Two nodes, a dealer and a client that measures: any `mpc_works.Work` on our engine, over the project's own links.

The prompt is JSON: `work` and the `number` of its input. The answer is JSON: seconds `offline` and `online` on the
client's clock; of these, those of the dealer's `deal` and of the slower node's `fetch`, `expand` and `compute`; the
largest `error` against float64; `rounds`, `sent` and `material` in bytes for one node.
"""

from __future__ import annotations

import asyncio
import json
import threading
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
from unfed.backends.mpc.engine.material import Deal, Draw, InputOwner
from unfed.backends.mpc.engine.rows import HALF, Rows
from unfed.backends.mpc.engine.session import Computing, Dealing, Preparing
from unfed.backends.mpc.owner import Sharing
from unfed.backends.mpc.secret import blanks, opening, share_of
from unfed.backends.mpc.transformer.running import exchanging
from unfed.backends.mpc.transformer.shared import flat, size, unflat
from unfed.backends.mpc.transformer.weights import outline
from unfed.plugins import Answer, Channel, ClientRole, Query, Role, UnfedError, serve

NODES = ("compute-0", "compute-1")


INPUTS = "inputs"
"""The channels that inputs and results take."""

SETS = {"mlp": 16}
"""For how many runs material is made at once, where more than one: seconds `offline` are those of one of them."""

PREPARED = ("offline", "deal", "fetch", "expand", "material")


class Client(ClientRole):
    async def start(self) -> None:
        self._ahead: dict[str, deque[list[dict[str, Any]]]] = {}
        self._folder = Path(self.ctx.settings["folder"])
        self._inputs = {name: arrays(self._folder, name) for name in self.ctx.settings["works"]}
        self._table = np.load(self._folder / "table.npy", mmap_mode="r") if "embedding" in self._inputs else None
        self._channels: list[Channel] = []

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
            replies = self._exchanged(work, *(each._asdict() for each in keys(ids, len(self._table))))
        else:
            wanted = stored["wanted"][number]
            x = ring.encode(torch.from_numpy(stored["x"][number]), given)
            mask = prepared[0]["mask"]
            sent = ring.share(x) if mask is None else (x + mask,) * 2
            replies = self._exchanged(work, *({"given": each} for each in sent))
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
        if not (ahead := self._ahead.setdefault(work, deque())):
            sets = SETS.get(work, 1)
            began = time.perf_counter()
            told = await asyncio.gather(*(self.ctx.call(node, "prepare", work=work, sets=sets) for node in NODES))
            masks = self._masks(told, sets)
            if not self._channels:  # nodes open theirs when they are first asked to prepare
                self._channels = [await asyncio.to_thread(self.ctx.channel, node, INPUTS) for node in NODES]
            seconds = (time.perf_counter() - began) / sets
            ahead += [[each | {"offline": seconds, "mask": mask} for each in told] for mask in masks]
        return ahead.popleft()  # in the order in which the nodes use it

    def _masks(self, told: list[dict[str, Any]], sets: int) -> list[torch.Tensor | None]:
        """What inputs are opened under; None where they are shared."""
        seeds = [each["told"] for each in told]
        return list(InputOwner(seeds).mask(sets, *told[0]["shape"])) if any(seeds) else [None] * sets

    def _exchanged(self, work: str, *own: dict[str, Any]) -> list[dict[str, Any]]:
        """Both nodes' results of `work`, for which each is sent what is its own."""
        for channel, fields in zip(self._channels, own, strict=True):
            channel.query = self.ctx.query
            channel.send(work=work, **fields)
        return [channel.recv() for channel in self._channels]


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
        self._serving: threading.Thread | None = None
        await super().start()
        if "embedding" in self.ctx.settings["works"]:
            self._table = Rows(table(self._folder), HALF)

    @serve
    async def prepare(self, sender: str, *, work: str, sets: int) -> dict[str, Any]:
        if self._serving is None:
            self._serving = threading.Thread(target=self._serve, daemon=True)
            self._serving.start()
        began = time.perf_counter()
        part = await self.ctx.call("dealer", "material", work=work, sets=sets)
        fetched = time.perf_counter()
        data = part["seed"], part["common"].numpy().data, part["own"].numpy().data
        program = self._works[work]
        preparing = self._prepare(program, sets, data)
        self._made[work] = preparing.made
        return {
            "told": preparing.draw.seed,
            "shape": program.shape,
            "given": program.given,
            "made": program.made,
            "deal": part["seconds"] / sets,
            "fetch": (fetched - began) / sets,
            "expand": (time.perf_counter() - fetched) / sets,
            "material": sum(map(len, data)) / sets,
        }

    def _prepare(self, program: Work, sets: int, data: tuple[bytes, memoryview, memoryview]) -> Preparing:
        preparing = Preparing(Draw(self._party, *data))
        for _ in range(sets):
            program(preparing, blank(*program.shape))
        preparing.draw.finish()
        preparing.meet(self._exchange)
        return preparing

    def _serve(self) -> None:
        """Compute on what the client sends, until it leaves."""
        channel = self.ctx.channel("client", INPUTS)
        try:
            while True:
                channel.send(**self._answer(**channel.recv()))
        except UnfedError:
            pass  # the client left
        finally:
            channel.close()

    def _answer(self, work: str, **given: torch.Tensor) -> dict[str, Any]:
        if work == "embedding":
            return self._embedded(Keys(**given), self._made[work])
        return self._run(self._works[work], self._made[work], **given)

    def _exchange(self, mine: torch.Tensor) -> torch.Tensor:
        if self._channel is None:
            self._channel = self.ctx.channel(NODES[1 - self._party], "shares")
        theirs: torch.Tensor = self._channel.exchange(opened=mine)["opened"]
        return theirs

    def _run(self, program: Work, made: deque[Any], given: torch.Tensor) -> dict[str, Any]:
        began = time.perf_counter()
        run = Computing(self._party, made, self._exchange)
        result, guard = program(run, given)
        took = time.perf_counter() - began
        return {"result": result, "guard": guard, "compute": took, "rounds": run.rounds, "sent": run.sent}

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
