"""Fleets of our engine for the bench, and how they are asked."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench.fleets import asking, running

from unfed.console.fleet.process import LocalLauncher
from unfed.console.runner.models import read_card
from unfed.plugins import Claim, Emulation, Link, Party, Plan

Ask = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""Takes `{"work", "number"}` and returns what that contestant tells of it."""

NODES = ("compute-0", "compute-1")


def plan(folder: Path, works: list[str]) -> Plan:
    """Two nodes, a dealer and a client, for computations stored in `folder`."""
    settings = {"folder": str(folder), "works": works}
    roles = "bench.mpc_roles"
    parties = (
        Party("client", f"{roles}:Client", settings=settings),
        *(Party(name, f"{roles}:Node", opens={"model": ("all",)}, settings=settings) for name in NODES),
        Party("dealer", f"{roles}:Dealer", opens={"model": ("config",)}, settings=settings),
    )
    links = (*(Link("client", name) for name in NODES), Link(*NODES), *(Link(name, "dealer") for name in NODES))
    claim = Claim(asset="prompt", property="confidentiality", against=NODES, basis="none")
    return Plan(parties=parties, links=links, guarantee=(claim,))


@asynccontextmanager
async def engine(launcher: LocalLauncher, folder: Path, works: list[str], delay: float = 0.0) -> AsyncIterator[Ask]:
    """A fleet for these computations, every link of which delays by so many seconds one way."""
    models = {"model": read_card(folder / "block")}
    link = Emulation(delay=delay)
    async with running(launcher, folder, f"engine-{delay:g}", plan(folder, works), models, link) as fleet:

        async def ask(question: dict[str, Any]) -> dict[str, Any]:
            answer = await asking(fleet, secrets.token_hex(6), json.dumps(question))
            told: dict[str, Any] = json.loads(answer.text)
            return told

        yield ask
