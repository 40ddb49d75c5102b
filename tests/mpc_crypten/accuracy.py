"""Prints how far CrypTen's logits lie from the model's: `python tests/mpc_crypten/accuracy.py`. Takes minutes."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import random_models
from crypten_machine import run
from test_program import DEMO, FAMILIES, load, program

from unfed.backends.mpc_crypten.communicator import here
from unfed.backends.mpc_crypten.library import arithmetic
from unfed.backends.mpc_crypten.transformer import PRECISION

ArithmeticSharedTensor: Any = arithmetic.ArithmeticSharedTensor

PROMPTS, GIVEN, TOKENS = 4, 8, 16


def worst(folder: Path) -> float:
    """Largest logit error over the positions of random prompts, the first ones at once and the others one by one."""
    made, generator, error = load(folder), torch.Generator().manual_seed(3), 0.0
    for _ in range(PROMPTS):
        ids = torch.randint(0, made.vocab, (TOKENS,), generator=generator)
        onehot = torch.nn.functional.one_hot(ids, made.vocab)
        parts = [onehot[:GIVEN], *(onehot[place : place + 1] for place in range(GIVEN, TOKENS))]
        (first, second), _ = run(program(made), *parts)
        with torch.inference_mode():
            wanted = made.plain(ids[None]).logits[0, GIVEN - 1 :]
        for mine, other, exact in zip(first, second, wanted, strict=True):
            error = max(error, float(((mine + other).double() * 2.0**-PRECISION - exact).abs().max()))
    return error


def wrong_cuts(folder: Path, tokens: int) -> float:
    """How many of the numbers that a step cuts will be cut wrongly: each is with a chance of its size over 2^64."""
    made, cuts = load(folder), ([], [])
    kept = ArithmeticSharedTensor.div_

    def watched(self: Any, by: Any) -> Any:
        if here.communicator._channel is not None:
            cuts[here.communicator.rank].append(self.share.clone())
        return kept(self, by)

    ArithmeticSharedTensor.div_ = watched
    run(program(made), torch.nn.functional.one_hot(torch.arange(tokens) * 7 % made.vocab, made.vocab))
    ArithmeticSharedTensor.div_ = kept
    return sum(float((mine + other).double().abs().sum()) for mine, other in zip(*cuts, strict=True)) / 2.0**64


if __name__ == "__main__":
    print(f"demo model, a step of 10 tokens: one wrong cut in {1 / wrong_cuts(DEMO, 10):.0f} steps")
    print(f"demo model: {worst(DEMO):.4f}")
    for louder in (1.0, 3.0):
        random_models.LOUDER = louder
        for name, save in FAMILIES.items():
            with tempfile.TemporaryDirectory() as folder:
                save(Path(folder), layers=4, hidden=128, vocab=512)
                print(f"random {name}, layers {louder:g} times as loud: {worst(Path(folder)):.4f}", flush=True)
