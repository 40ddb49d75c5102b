"""Prints how far off honest entries and dealers are: `python tests/unfed/accuracy.py`. Takes minutes."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import random_models
from looked_up import looked_up
from machine import run

from unfed.backends.common.beginning import beginning
from unfed.backends.common.ends import Embedding
from unfed.backends.common.folded import fold, streamed
from unfed.backends.common.shard import Shard
from unfed.backends.mpc.engine.blank import blank
from unfed.backends.mpc.engine.session import Computing
from unfed.backends.mpc.transformer.bounds import fit
from unfed.backends.mpc.transformer.calibrate import calibrate
from unfed.backends.mpc.transformer.program import Cache, Transformer
from unfed.backends.mpc.transformer.public import fixed
from unfed.backends.unfed.integrity.proof import Rows
from unfed.backends.unfed.integrity.together import distance
from unfed.console.party.model import OpenModel
from unfed.console.runner.models import read_card
from unfed.plugins import OpenedModel

DEMO = Path(__file__).parents[2] / "profiles" / "demo" / "model"
PROMPTS = (5, 8, 20, 33, 60, 120)
"""Lengths, the last two tokens one by one in every other one."""


def worst(folder: Path, layers: int) -> float:
    """The largest `distance` over random prompts."""
    card = read_card(folder)
    model = OpenModel("a test", OpenedModel(card, ("all",)))
    format = fit(folded := fold(model, layers), calibrate(beginning(model, layers), card.context))
    transformer = Transformer(fixed(folded, format.scales), format)
    embedding, shard, scale = Embedding(model), Shard(model, 0, layers - 1), transformer.scales.residual
    generator, most = torch.Generator().manual_seed(3), 0.0
    for number, length in enumerate(PROMPTS):
        ids = torch.randint(0, card.vocab, (length,), generator=generator)
        parts = torch.split(ids, [length - 2, 1, 1] if number % 2 else [length])
        starts = [sum(map(len, parts[:number])) for number in range(len(parts))]
        found, _ = run(steps(transformer), *torch.split(looked_up(transformer, ids), [*map(len, parts)]))
        assert all(int(one + other) == 0 for (_, one), (_, other) in zip(*found, strict=True)), "no guard falls"
        with torch.inference_mode():
            hidden = streamed(card, shard(embedding(ids[None], 0), shard.new_cache())[0])
        wanted = [Rows(start, hidden[start : start + len(part)]) for start, part in zip(starts, parts, strict=True)]
        shares = ([Rows(start, each) for start, (each, _) in zip(starts, mine, strict=True)] for mine in found)
        most = max(most, distance(wanted, *((each, scale) for each in shares)))
    return most


def steps(transformer: Transformer) -> Callable[..., list[Any]]:
    """A program of a run and its parts, which gives what each of them leaves."""

    def program(run: Any, *parts: torch.Tensor) -> list[Any]:
        cache, start, results = Cache(), 0, []
        for part in parts:
            given = part if isinstance(run, Computing) else blank(*part.shape)
            results.append(transformer.step(run, given, cache, start))
            start += len(part)
        return results

    return program


def tell(name: str, folder: Path) -> None:
    print(f"{name}: {', '.join(f'{worst(folder, layers):.4f}' for layers in (1, 2, 3))}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    tell("demo", DEMO)
    families = {"llama": random_models.save_llama, "qwen2": random_models.save_qwen2, "gpt2": random_models.save_gpt2}
    for louder in (1.0, 3.0):
        random_models.LOUDER = louder
        for name, save in families.items():
            for width in (64, 128):
                with tempfile.TemporaryDirectory() as folder:
                    made = save(Path(folder), layers=4, hidden=width, vocab=512)
                    tell(f"random {name}, width {width}, layers {louder:g} times as loud", made)
    random_models.LOUDER = 1.0
    with tempfile.TemporaryDirectory() as folder:
        tell("random llama of 100M", random_models.save_llama_100m(Path(folder)))
