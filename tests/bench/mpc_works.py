"""What our engine computes for the bench, as programs: see `make_works`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from unfed.backends.common.folded import Folded
from unfed.backends.mpc.engine.gates import Relu, Truncate, Width
from unfed.backends.mpc.engine.rows import Rows
from unfed.backends.mpc.engine.session import Run
from unfed.backends.mpc.scales import Format, Scales
from unfed.backends.mpc.transformer import Cache, Guards, Transformer
from unfed.backends.mpc.weights import fixed

Result = tuple[torch.Tensor, torch.Tensor]
"""Shares of a result, and of how many guards fell."""


class Work(Protocol):
    """One computation on public weights.

    Attributes:
        shape: of its input.
        given, made: bits of the fraction of its input and of its result.
    """

    shape: tuple[int, ...]
    given: int
    made: int

    def __call__(self, run: Run, x: torch.Tensor) -> Result: ...


class Mlp:
    """784-128-10: both matrices act on shares, so that one round does, and nothing is cut."""

    shape = (1, 784)
    given, weight = 18, 18
    made = given + 2 * weight
    told = 16  # bits of fraction down to which negative numbers are told

    def __init__(self, folder: Path) -> None:
        stored = arrays(folder, "mlp")
        self._matrices = [Rows(_encoded(stored[name], self.weight)) for name in ("w1", "w2")]
        self._biases = [
            _encoded(stored[name], scale) for name, scale in (("b1", self.given + self.weight), ("b2", self.made))
        ]
        # Inputs are pixels from 0 to 1, which bounds what goes into the ReLU.
        largest = (np.abs(stored["w1"]).sum(0) + np.abs(stored["b1"])).max()
        scale = self.given + self.weight
        self._relu = Relu(Width(scale + int(np.ceil(np.log2(largest))) + 1, scale - self.told))

    def __call__(self, run: Run, x: torch.Tensor) -> Result:
        (wire,) = run.open(self._linear(run, 0, x))
        result = self._linear(run, 1, run.apply(self._relu, wire))
        return result, run.public(torch.zeros(1, dtype=torch.int64))  # it has no range to leave

    def _linear(self, run: Run, number: int, x: torch.Tensor) -> torch.Tensor:
        return self._matrices[number].weighted(x) + run.public(self._biases[number][None])


class Block:
    """One layer of the backend's own transformer on 16 tokens."""

    shape = (16, 128)

    def __init__(self, folder: Path, model: Folded) -> None:
        format = Format.travelled(json.loads((folder / "block.json").read_text()))
        self._transformer = Transformer(fixed(model, format.scales), format)
        self.given = self.made = format.scales.residual

    def __call__(self, run: Run, x: torch.Tensor) -> Result:
        guards = Guards()
        (residual,) = run.open(x)
        return run.share(self._transformer.layer(run, residual, 0, Cache(), 0, guards)), guards.total.reshape(1)


def arrays(folder: Path, name: str) -> dict[str, Any]:
    """Stored arrays of one computation, by name."""
    with np.load(folder / f"{name}.npz") as stored:
        return dict(stored)


class Lifted:
    """16 rows over Z_2^32, as looking them up gives them, lifted to Z_2^64 as by the first opening of a model."""

    shape = (16, 768)
    given = made = Scales().residual

    def __call__(self, run: Run, x: torch.Tensor) -> Result:
        (opened,) = run.open(x << 32)
        rows: torch.Tensor = run.share(run.apply(Truncate(32), opened))
        return rows, run.public(torch.zeros(1, dtype=torch.int64))


def table(folder: Path) -> torch.Tensor:
    """The table that tokens are looked up in, at the residual stream's scale."""
    return _encoded(np.load(folder / "table.npy"), Scales().residual)


def _encoded(array: Any, scale: int) -> torch.Tensor:
    from unfed.backends.mpc.engine.ring import encode

    return encode(torch.from_numpy(array), scale)
