"""`unfed`: tokens per second after the first against `split`, and what sealing cells adds to a token."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
from bench.fleets import one_launcher, running, tokens_of
from bench.measure import Bar, Rounds, Turn
from bench.part_decode import SHARDS, asked, demo, fleet_of, logit_error, per_second, random_llama
from bench.report import Report

from unfed.console.fleet.fleet import Fleet
from unfed.console.runner.models import read_card
from unfed.plugins import Plan
from unfed.plugins.host import PluginHost
from unfed.plugins.options import read_options

VOCAB = 4096
TOKENS, RUNS = 32, 16
LEAST = 0.85
MOST = 0.5
"""Milliseconds a token that circuits may add."""


async def measure(report: Report, folder: Path) -> None:
    await _against_split(report, folder, await random_llama(folder, VOCAB))
    await _sealing(report, folder, await demo(folder))


async def _against_split(report: Report, folder: Path, model: Path) -> None:
    async with AsyncExitStack() as stack:
        launcher = await stack.enter_async_context(one_launcher(folder))
        fleets = {
            name: await stack.enter_async_context(fleet_of(launcher, folder, model, name, {"shards": SHARDS}))
            for name in ("split", "unfed")
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


async def _sealing(report: Report, folder: Path, model: Path) -> None:
    """The demo model, where a token's own time is short."""
    models = {"model": read_card(model)}
    backend = PluginHost().backend("unfed")
    plan = backend().plan(models, read_options("unfed", backend.Options, {"shards": SHARDS}))
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
