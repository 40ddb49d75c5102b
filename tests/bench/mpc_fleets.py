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


def plan(folder: Path, works: list[str], *, secret: bool = False) -> Plan:
    """Two nodes, a dealer and a client, for computations stored in `folder`; with `secret` weights, their owner."""
    settings = {"folder": str(folder), "works": works}
    roles, kind, opens = "bench.mpc_roles", "Secret" if secret else "", ("config",) if secret else ("all",)
    parties = [
        Party("client", f"{roles}:Client", settings=settings),
        *(Party(name, f"{roles}:{kind}Node", opens={"model": opens}, settings=settings) for name in NODES),
        Party("dealer", f"{roles}:{kind}Dealer", opens={"model": ("config",)}, settings=settings),
    ]
    links = [*(Link("client", name) for name in NODES), Link(*NODES), *(Link(name, "dealer") for name in NODES)]
    if secret:
        parties.append(Party("owner", f"{roles}:Owner", opens={"model": ("all",)}, settings=settings))
        links += [Link("owner", name) for name in NODES]
    claim = Claim(asset="prompt", property="confidentiality", against=NODES, basis="none")
    return Plan(parties=tuple(parties), links=tuple(links), guarantee=(claim,))


@asynccontextmanager
async def engine(
    launcher: LocalLauncher, folder: Path, works: list[str], delay: float = 0.0, *, secret: bool = False
) -> AsyncIterator[Ask]:
    """A fleet for these computations, every link of which delays by so many seconds one way."""
    models = {"model": read_card(folder / "block")}
    link, name = Emulation(delay=delay), f"engine-{delay:g}{'-secret' if secret else ''}"
    async with running(launcher, folder, name, plan(folder, works, secret=secret), models, link) as fleet:

        async def ask(question: dict[str, Any]) -> dict[str, Any]:
            answer = await asking(fleet, secrets.token_hex(6), json.dumps(question))
            told: dict[str, Any] = json.loads(answer.text)
            return told

        yield ask
