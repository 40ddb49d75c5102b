"""A role that plays another and answers the kit's questions besides: what is kept, and who lets it in.

It runs inside a party in place of the real role, which it subclasses; the party's key and links are those it would
have anyway. The kit's end is in `probes`.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import threading
from collections.abc import Mapping
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import msgspec

from ..role import Context, Role, serve

SETTING = "unfed.conformance"
REFERENCE = f"{__name__}:Probe"
REACHED = "reached"
MOST = 400_000
"""Objects that are counted at most per attribute."""


class Orders(msgspec.Struct, frozen=True):
    """What the plan tells a probe: whom to play, where the kit listens, and how to knock."""

    role: str
    socket: str
    knocker: str


class Weight(msgspec.Struct, frozen=True):
    """What a party keeps: objects and bytes of tensors within each attribute of its role, and the process's handles."""

    objects: dict[str, int]
    bytes: dict[str, int]
    descriptors: int
    threads: int


class Probe(Role):
    """Stands in a plan as a role; what is made is a subclass of the role it plays."""

    def __new__(cls, ctx: Context) -> Role:  # type: ignore[misc]
        orders = msgspec.convert(ctx.settings[SETTING], Orders)
        module, _, name = orders.role.partition(":")
        real: type[Role] = getattr(importlib.import_module(module), name)
        probing: type[Role] = type(real.__name__, (_Probing, real), {"unfed_orders": orders, "unfed_module": module})
        settings = {key: value for key, value in ctx.settings.items() if key != SETTING}
        return probing(_Settings(ctx, settings))


class _Settings:
    """The party's context with the settings that the real role expects."""

    def __init__(self, ctx: Context, settings: Mapping[str, Any]) -> None:
        self._ctx = ctx
        self.settings = settings

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)


class _Probing(Role):
    """What a probe does besides playing its role."""

    unfed_orders: Orders
    unfed_module: str

    async def start(self) -> None:
        await super().start()
        reader, writer = await asyncio.open_unix_connection(self.unfed_orders.socket, limit=1 << 24)
        knocker = importlib.import_module(self.unfed_orders.knocker)
        ctx = self.ctx._ctx  # type: ignore[attr-defined]
        writer.write(msgspec.json.encode(self.ctx.name) + b"\n")
        self._unfed_task = asyncio.create_task(self._unfed_attend(reader, writer, knocker, ctx))

    @serve
    async def unfed_knock(self, sender: str) -> str:
        """Whoever hears this got in."""
        return REACHED

    async def _unfed_attend(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, knocker: Any, ctx: Context
    ) -> None:
        while line := await reader.readline():
            question = msgspec.json.decode(line)
            if question is None:
                answer: Any = weigh(self, self.unfed_module)
            else:  # an open door takes seconds to tell from one that is slow to shut: all are tried at once
                answer = await asyncio.gather(*(knocker.knock(ctx, target) for target in question))
            writer.write(msgspec.json.encode(answer) + b"\n")


def weigh(role: Role, module: str) -> Weight:
    """What a role keeps in its attributes and in its module's own containers."""
    gc.collect()
    kept = {f"self.{name}": value for name, value in vars(role).items() if name not in ("ctx", "_unfed_task")}
    for name, value in vars(importlib.import_module(module)).items():
        if isinstance(value, dict | list | set) and not name.startswith("__"):
            kept[name] = value
    hosts = {id(role.ctx), id(vars(role).get("_unfed_task"))}
    weighed = {name: _within(value, hosts) for name, value in kept.items()}
    return Weight(
        objects={name: count for name, (count, _) in weighed.items()},
        bytes={name: size for name, (_, size) in weighed.items()},
        descriptors=sum(1 for _ in Path("/proc/self/fd").iterdir()),
        threads=threading.active_count(),
    )


def _within(value: Any, hosts: set[int]) -> tuple[int, int]:
    """How many objects can be reached from `value`, and the bytes of the tensors and arrays among them.

    Args:
        hosts: objects, by id, that are the host's and not the role's to account for, wherever they are referred to.
    """
    skipped = (type, ModuleType, FunctionType, BuiltinFunctionType, _Settings, asyncio.AbstractEventLoop)
    seen = set(hosts)
    ahead = [value]
    size = 0
    while ahead and len(seen) < MOST:
        each = ahead.pop()
        if id(each) in seen or isinstance(each, skipped):
            continue
        seen.add(id(each))
        if type(each).__name__ in ("Tensor", "Parameter", "ndarray"):
            size += int(each.nbytes)
        elif isinstance(each, bytes | bytearray | str):
            size += len(each)
        ahead += gc.get_referents(each)
    return len(seen) - len(hosts), size
