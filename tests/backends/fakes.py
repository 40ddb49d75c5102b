"""Parties in one process, for unit tests of roles: contexts wired to each other by plain function calls.

Tensors are copied through bytes on their way, as they are on a wire, so that no two parties share memory.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import safe_open

from unfed.plugins import Answer, ModelCard, Plan, Query, Role, Token, UnfedError

current_query: contextvars.ContextVar[str] = contextvars.ContextVar("fake_query", default="")


def card_of(folder: Path) -> ModelCard:
    """The card of a model folder, from config.json and safetensors headers."""
    config = json.loads((folder / "config.json").read_text())
    tensors: dict[str, tuple[str, str, tuple[int, ...]]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        data = file.read_bytes()
        head = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        for name, about in head.items():
            if name != "__metadata__":
                tensors[name] = (file.name, about["dtype"], tuple(about["shape"]))
    family = config["model_type"]
    return ModelCard(
        name=folder.name,
        folder=str(folder),
        family=family,
        layers=config.get("num_hidden_layers") or config.get("n_layer"),
        hidden=config.get("hidden_size") or config.get("n_embd"),
        vocab=config["vocab_size"],
        context=config.get("max_position_embeddings") or config.get("n_positions") or 0,
        parameters=0,
        tied=config.get("tie_word_embeddings", family == "gpt2"),
        config=config,
        tensors=tensors,
    )


class FakeModel:
    """`Model` over a real folder; `read` lists the tensors that were asked for."""

    def __init__(self, card: ModelCard, *opens: str) -> None:
        self.card = card
        self.opens = opens or ("all",)
        self.folder = card.path
        self.read: set[str] = set()

    def tensors(self, *names: str) -> dict[str, Any]:
        allowed = self.card.opened(self.opens)
        found = {}
        for name in names or sorted(allowed):
            if name not in allowed:
                raise UnfedError(f"tensor {name!r} is not opened", kind="role")
            with safe_open(self.folder / self.card.tensors[name][0], framework="pt") as file:
                found[name] = file.get_tensor(name)
            self.read.add(name)
        return found


def travelled(fields: Mapping[str, Any]) -> dict[str, Any]:
    """`fields` as they arrive: tensors rebuilt from their bytes, the rest through msgpack."""
    arrived = {}
    for name, value in fields.items():
        if isinstance(value, torch.Tensor) and not value.numel():
            arrived[name] = torch.empty_like(value)
        elif isinstance(value, torch.Tensor):
            raw = bytearray(value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
            arrived[name] = torch.frombuffer(raw, dtype=value.dtype).reshape(value.shape)
        else:
            arrived[name] = msgspec.msgpack.decode(msgspec.msgpack.encode(value))
    return arrived


class FakeContext:
    def __init__(self, fleet: FakeFleet, name: str, settings: Mapping[str, Any], models: dict[str, FakeModel]) -> None:
        self.fleet, self.name, self.settings, self.models = fleet, name, settings, models
        self.peers = fleet.plan.peers(name)
        self.phases: list[str] = []
        self.contributed: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
        self.held: dict[str, dict[str, Any]] = {}

    @property
    def model(self) -> FakeModel:
        return self.models["model"]

    @property
    def query(self) -> str:
        return current_query.get()

    def channel(self, peer: str, purpose: str = "rounds", /) -> Any:
        raise NotImplementedError("no role under test opens a channel")

    async def call(self, peer: str, method: str, /, **fields: Any) -> Any:
        return await self.fleet.deliver(self.name, peer, method, fields)

    async def send(self, peer: str, method: str, /, **fields: Any) -> None:
        self.fleet.post(self.name, peer, method, fields)

    @contextmanager
    def phase(self, name: str, kind: str = "online", /) -> Iterator[None]:
        self.phases.append(name)
        yield

    def contribute(self, **amounts: float) -> None:
        for name, amount in amounts.items():
            self.contributed[self.query][name] += amount

    def hold(self, name: str, /, **fields: Any) -> None:
        self.held[name] = fields


class FakeFleet:
    """The roles of a plan in one event loop. `messages` lists (from, to, method, fields) of every message sent."""

    def __init__(self, plan: Plan, card: ModelCard) -> None:
        self.plan = plan.check()
        self.messages: list[tuple[str, str, str, dict[str, Any]]] = []
        self.failures: dict[str, asyncio.Future[None]] = {}
        self.contexts: dict[str, FakeContext] = {}
        self.roles: dict[str, Role] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        for party in plan.parties:
            models = {slot: FakeModel(card, *opens) for slot, opens in party.opens.items()}
            context = FakeContext(self, party.name, party.settings, models)
            module, _, kind = party.role.partition(":")
            self.contexts[party.name] = context
            self.roles[party.name] = getattr(importlib.import_module(module), kind)(context)

    async def start(self) -> FakeFleet:
        for role in self.roles.values():
            await role.start()
        return self

    async def deliver(self, sender: str, peer: str, method: str, fields: dict[str, Any]) -> Any:
        assert peer in self.contexts[sender].peers, f"{sender} has no link to {peer}"
        handler = getattr(self.roles[peer], method)
        assert getattr(handler, "__unfed_serves__", False), f"{peer} does not serve {method}"
        self.messages.append((sender, peer, method, travelled(fields)))
        return await handler(sender, **travelled(fields))

    def post(self, sender: str, peer: str, method: str, fields: dict[str, Any]) -> None:
        query = current_query.get()

        async def carry() -> None:
            try:
                await self.deliver(sender, peer, method, fields)
            except Exception as error:
                if (failed := self.failures.get(query)) is None or failed.done():
                    raise
                failed.set_exception(error)

        task = asyncio.create_task(carry())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def events(self, query: Query) -> AsyncIterator[Token | Any]:
        """What the client yields for `query`; a handler that fails anywhere ends it."""
        current_query.set(query.id)
        failed = self.failures[query.id] = asyncio.get_running_loop().create_future()
        answer = self.roles["client"].answer(query)  # type: ignore[attr-defined]
        try:
            while True:
                step = asyncio.ensure_future(anext(answer, None))
                await asyncio.wait([step, failed], return_when=asyncio.FIRST_COMPLETED)
                if failed.done():
                    step.cancel()
                    await asyncio.gather(step, return_exceptions=True)
                    failed.result()
                if (event := await step) is None:
                    return
                yield event
        finally:
            failed.cancel()
            await answer.aclose()
            for role in self.roles.values():
                await role.forget(query.id)

    async def answer(self, query: Query) -> tuple[list[Token], Answer]:
        events = [event async for event in self.events(query)]
        return [event for event in events if isinstance(event, Token)], events[-1]
