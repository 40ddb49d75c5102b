"""`decode`: tokens per second after the first, of `plain` against `generate` and of `split` against `plain`."""

from __future__ import annotations

import asyncio
import json
import secrets
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from bench.fleets import one_launcher, running, tokens_of
from bench.measure import Bar, Rounds, Turn
from bench.peers import HERE, Peer
from bench.report import Report

from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.console.runner.models import read_card
from unfed.console.runner.score import fidelity
from unfed.plugins import Query, Token
from unfed.plugins.host import PluginHost
from unfed.plugins.options import read_options

SHARDS = 3
DEMO = HERE.parents[1] / "profiles" / "demo"

PROMPTS = (
    "the act of moving a heavy thing from one place to another",
    "a building where people keep animals in winter",
    "a feeling of great joy",
    "the part of a plant that grows under the ground and takes up water",
    "a small boat that is driven by the wind",
    "someone who studies the stars",
)

MODELS = (("random Llama of 100M", 0.90, 32, 16), ("demo model", 0.5, 64, 24))
"""What it is called, the bar of split against plain, tokens per answer, rounds."""


async def measure(report: Report, folder: Path) -> None:
    for model, (named, bar, tokens, runs) in zip((random_llama, demo), MODELS, strict=True):
        path = await model(folder)
        async with AsyncExitStack() as stack:
            launcher = await stack.enter_async_context(one_launcher(folder))
            fleets = {
                name: await stack.enter_async_context(fleet_of(launcher, folder, path, name, options))
                for name, options in (("plain", {}), ("split", {"shards": SHARDS}))
            }
            peer = await Peer.start("peer_generate.py", str(path))
            stack.push_async_callback(peer.stop)
            await _model(report, folder, fleets, peer, named, bar, tokens, runs)


async def _model(
    report: Report, folder: Path, fleets: dict[str, Fleet], peer: Peer, named: str, bar: float, tokens: int, runs: int
) -> None:
    errors = await _errors(fleets, peer, folder, tokens)

    def ours(name: str) -> Turn:
        async def turn(number: int) -> float:
            answer, _ = await tokens_of(fleets[name], asked(number, tokens))
            return per_second([token.at for token in answer])

        return turn

    async def generate(number: int) -> float:
        answer = await peer.ask({"prompt": PROMPTS[number % len(PROMPTS)], "max_new_tokens": tokens})
        return per_second(answer["at"])

    # `plain` stands between the two that it is compared with.
    rounds = Rounds("generate", "plain", "split")
    turns = {"generate": generate, "plain": ours("plain"), "split": ours("split")}
    try:
        await rounds.take(turns, runs=runs, warmup=2)
    finally:
        if rounds.taken:
            notes = {"max_new_tokens": tokens, "prompts": len(PROMPTS), "model": named}
            for mine, theirs, name, against, least in (
                ("plain", "generate", "plain", "transformers generate", 0.95),
                ("split", "plain", f"split over {SHARDS} nodes", "plain", bar),
            ):
                report.add(
                    rounds.row(
                        mine,
                        theirs,
                        name=f"decode: {name}, {named}",
                        against=against,
                        unit="tokens/s",
                        bars=[Bar("ratio", least)],
                        max_error=errors[mine],
                        notes=notes,
                    )
                )


async def _errors(fleets: dict[str, Fleet], peer: Peer, folder: Path, tokens: int) -> dict[str, float]:
    """Largest logit error over all prompts, `plain` held against `generate` and `split` against `plain`; not timed."""
    import numpy as np

    worst = {"plain": 0.0, "split": 0.0}
    for number, prompt in enumerate(PROMPTS):
        answers = {
            name: (await tokens_of(fleet, asked(number, tokens, logits=True)))[0] for name, fleet in fleets.items()
        }
        file = folder / "logits.npy"
        told = await peer.ask({"prompt": prompt, "max_new_tokens": tokens, "logits": str(file)})
        theirs = scored(told["token_ids"], np.load(file))
        for name, reference in (("plain", theirs), ("split", answers["plain"])):
            worst[name] = max(worst[name], logit_error(name, answers[name], reference))
    return worst


def scored(ids: Sequence[int], logits: Any) -> list[Token]:
    """A peer's tokens with their logits [t, vocab], as ours come."""
    return [Token(id=each, text="", logits=row.astype("<f4").tobytes()) for each, row in zip(ids, logits, strict=True)]


def logit_error(name: str, answer: Sequence[Token], reference: Sequence[Token]) -> float:
    """Largest, up to and including the first token that differs. Raises RuntimeError where there is none to tell."""
    found = fidelity(answer, reference)
    if found.max_logit_error is None:
        raise RuntimeError(f"{name} cannot be compared: {found.reason}")
    return found.max_logit_error


def asked(number: int, tokens: int, *, logits: bool = False) -> Query:
    prompt = PROMPTS[number % len(PROMPTS)]
    return Query(id=secrets.token_hex(6), prompt=prompt, max_new_tokens=tokens, logits=logits)


def per_second(at: Sequence[float]) -> float:
    """Tokens per second after the first, from the times at which all of them came. Raises ValueError below three."""
    if len(at) < 3:
        raise ValueError(f"an answer of {len(at)} tokens is too short to time")
    return (len(at) - 1) / (at[-1] - at[0])


@asynccontextmanager
async def fleet_of(
    launcher: LocalLauncher, folder: Path, model: Path, name: str, options: dict[str, Any]
) -> AsyncIterator[Fleet]:
    backend = PluginHost().backend(name)
    models = {"model": read_card(model)}
    plan = backend().plan(models, read_options(name, backend.Options, options))
    async with running(launcher, folder, name, plan, models) as fleet:
        yield fleet


async def random_llama(folder: Path, vocab: int = 8192) -> Path:
    """Made in a process of its own: the bench's imports no torch."""
    path = folder / "random"
    make = f"m.save_llama_100m(Path(sys.argv[1]), vocab={vocab})"
    code = f"import sys; from pathlib import Path; import random_models as m; {make}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(path), cwd=HERE.parent / "support", start_new_session=True
    )
    try:
        if status := await process.wait():
            raise RuntimeError(f"the random model could not be made (status {status})")
    finally:
        if process.returncode is None:
            process.kill()
    return path


async def demo(folder: Path) -> Path:
    """The demo model without an end token: its answers are too short to time otherwise, and cost the same a token."""
    path = folder / "demo"
    shutil.copytree(DEMO / "model", path)
    for name in ("config.json", "generation_config.json"):
        found = json.loads((path / name).read_text())
        found["eos_token_id"] = None
        (path / name).write_text(json.dumps(found))
    return path
