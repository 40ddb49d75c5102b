"""`unfed`: tokens per second after the first against `split`, what sealing cells adds to a token, what is missed of an
answer while a node that is killed is stood in for, and how long a check takes after it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path

import msgspec
from bench.fleets import TIMEOUT, events_of, one_launcher, running, tokens_of
from bench.measure import Bar, Rounds, Turn
from bench.part_decode import DEMO, SHARDS, asked, demo, fleet_of, logit_error, per_second, random_llama
from bench.report import Report

from unfed.console.fleet.fleet import Fleet
from unfed.console.runner.models import read_card
from unfed.plugins import Finished, Note, Plan, Token
from unfed.plugins.host import PluginHost
from unfed.plugins.options import read_options

VOCAB = 4096
KILLS = 12
TOKENS, RUNS = 32, 16
LEAST = 0.85
MOST = 0.5
"""Milliseconds a token that circuits may add."""


SELDOM = 1e-9
"""Statements are made all the same; decoys would only come between the turns."""


async def measure(report: Report, folder: Path) -> None:
    large, small = await random_llama(folder, VOCAB), await demo(folder)
    await _against_split(report, folder, large)
    await _failover(report, folder, large)
    await _sealing(report, folder, small)
    await _checking(report, folder, small)
    await _checking(report, folder, DEMO / "model", mpc_layers=1)  # past its end token it leaves its range


async def _against_split(report: Report, folder: Path, model: Path) -> None:
    async with AsyncExitStack() as stack:
        launcher = await stack.enter_async_context(one_launcher(folder))
        options = {"split": {"shards": SHARDS}, "unfed": {"shards": SHARDS, "check_rate": SELDOM}}
        fleets = {
            name: await stack.enter_async_context(fleet_of(launcher, folder, model, name, mine))
            for name, mine in options.items()
        }
        worst = 0.0
        for number in range(3):
            query = asked(number, TOKENS, logits=True)
            answers = {}
            for name, fleet in fleets.items():
                answers[name], _ = await tokens_of(fleet, msgspec.structs.replace(query, id=f"{query.id}{name}"))
            worst = max(worst, logit_error("unfed", answers["unfed"], answers["split"]))
        rounds = Rounds("split", "unfed")
        await rounds.take({name: _rate(fleet) for name, fleet in fleets.items()}, runs=RUNS, warmup=2)
        report.add(
            rounds.row(
                "unfed",
                "split",
                name=f"decode: unfed over {SHARDS} nodes, random Llama of 100M, {VOCAB} words",
                against=f"split over {SHARDS} nodes",
                unit="tokens/s",
                bars=[Bar("ratio", LEAST)],
                max_error=worst,
                notes={"max_new_tokens": TOKENS},
            )
        )


async def _failover(report: Report, folder: Path, model: Path) -> None:
    """The longest gap between two tokens of an answer during which a node is killed that has a replica."""
    options = {"shards": SHARDS, "replicas": 2, "check_rate": SELDOM}
    async with one_launcher(folder) as launcher, fleet_of(launcher, folder, model, "unfed", options) as fleet:

        async def turn(number: int) -> dict[str, float]:
            query, at, retries = asked(number, TOKENS), list[float](), 0
            async for event in fleet.ask(query, TIMEOUT):
                if isinstance(event, Token):
                    at.append(event.at)
                    if len(at) == TOKENS // 2:
                        fleet.kill(
                            f"layers-{number % SHARDS}.{number // SHARDS % 2}"
                        )  # which it goes over in about half of the turns
                elif isinstance(event, Note):
                    retries += event.kind == "retry"
            await fleet.settle(query.id)
            for _ in range(300):  # until it is back
                if all(state.health == "ready" for state in fleet.parties()):
                    break
                await asyncio.sleep(0.1)
            gap = max(b - a for a, b in pairwise(at))
            return {"gap": 1000 * gap, "allowed": 2000 * at[0] + 1000, "retries": retries}

        rounds = Rounds("killed")
        await rounds.take({"killed": turn}, runs=KILLS, warmup=0)
        rounds.taken = [each for each in rounds.taken if each["retries"]]
        rounds.wanted = len(rounds.taken)  # a kill that hits the replica not in use is no round
        report.add(
            rounds.row(
                "gap",
                "allowed",
                name="unfed: the gap where a node is killed and its replica goes on, random Llama of 100M",
                against="twice a prefill and a second",
                unit="ms",
                bars=[Bar("ratio", 1.0)],
                notes={"killed in use": len(rounds.taken), "kills": KILLS},
            )
        )


async def _checking(report: Report, folder: Path, model: Path, mpc_layers: int = 0) -> None:
    """How long a session takes to be done again by the verifier, against the session itself."""
    options = {"shards": SHARDS, "checks": "live", "check_rate": 1.0, "mpc_layers": mpc_layers}
    about = "demo model" + (f", {mpc_layers} layer under MPC" if mpc_layers else "")
    async with one_launcher(folder) as launcher, fleet_of(launcher, folder, model, "unfed", options) as fleet:

        async def turn(number: int) -> dict[str, float]:
            events = await events_of(fleet, asked(number, 64))
            ended = events[-1]
            assert isinstance(ended, Finished)
            return {name: 1000 * ended.phases[name] for name in ("statements", "check", "decode")}

        rounds = Rounds("checked")
        await rounds.take({"checked": turn}, runs=RUNS, warmup=2)
        for figure, name in (("statements", "all state what they did"), ("check", "a session is done again")):
            report.add(
                rounds.row(
                    figure,
                    "decode",
                    name=f"unfed: after an answer, {name}, {about}",
                    against="decoding that answer",
                    unit="ms",
                )
            )


async def _sealing(report: Report, folder: Path, model: Path) -> None:
    """The demo model, where a token's own time is short."""
    models = {"model": read_card(model)}
    backend = PluginHost().backend("unfed")
    plan = backend().plan(models, read_options("unfed", backend.Options, {"shards": SHARDS, "checks": "none"}))
    async with AsyncExitStack() as stack:
        launcher = await stack.enter_async_context(one_launcher(folder))
        fleets = {
            name: await stack.enter_async_context(running(launcher, folder, name, made, models))
            for name, made in (("sealed", plan), ("open", unsealed(plan)))
        }

        def turn(name: str) -> Turn:
            async def one(number: int) -> float:
                answer, _ = await tokens_of(fleets[name], asked(number, 64))
                return 1000 / per_second([token.at for token in answer])

            return one

        rounds = Rounds("open", "sealed")
        await rounds.take({name: turn(name) for name in fleets}, runs=RUNS, warmup=2)
        for each in rounds.taken:
            each["added"] = each["sealed"] - each["open"]
        report.add(
            rounds.row(
                "added",
                "open",
                name="unfed: what sealing adds to a token, demo model",
                against="a token on the same paths, unsealed",
                unit="ms",
                bars=[Bar("ours", MOST)],
            )
        )


def _rate(fleet: Fleet) -> Turn:
    async def turn(number: int) -> float:
        answer, _ = await tokens_of(fleet, asked(number, TOKENS))
        return per_second([token.at for token in answer])

    return turn


def unsealed(plan: Plan) -> Plan:
    """The plan with roles that seal nothing."""
    parties = []
    for party in plan.parties:
        name = party.role.rpartition(":")[2]
        sealing = name in ("Client", "Hop", "Entry", "Last")
        parties.append(msgspec.structs.replace(party, role=f"bench.unfed_roles:{name}") if sealing else party)
    return msgspec.structs.replace(plan, parties=tuple(parties)).check()
