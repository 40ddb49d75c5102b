"""What our engine computes for the bench, as programs: see `make_works`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from unfed.backends.common.folded import Folded
from unfed.backends.mpc.engine.gates import Relu, Through, Truncate, Width
from unfed.backends.mpc.engine.rows import Rows
from unfed.backends.mpc.engine.session import Run
from unfed.backends.mpc.engine.wire import Wire
from unfed.backends.mpc.transformer.program import Cache, Guards, Transformer
from unfed.backends.mpc.transformer.public import Packed, fixed
from unfed.backends.mpc.transformer.scales import Format, Scales
from unfed.backends.mpc.transformer.shared import Shared, held, whole
from unfed.backends.mpc.transformer.weights import Public, Weights

Matrix = Packed | Shared

Result = tuple[torch.Tensor, torch.Tensor]
"""Shares of a result, and of how many guards fell."""


class Work(Protocol):
    """One computation.

    Attributes:
        shape: of its input.
        given, made: bits of the fraction of its input and of its result.
        opened: whether it is given its input opened by the client, under masks that the client was told, or shares.
    """

    shape: tuple[int, ...]
    given: int
    made: int
    opened: bool

    def __call__(self, run: Run, x: torch.Tensor) -> Result: ...


class Mlp:
    """784-128-10. The client opens the input under masks that it was told. Where both nodes hold the matrices, that and
    what was opened ahead opens what comes of the first one, too, and there is no round; else there are two, one for
    what comes of it and one for what the second one is given."""

    shape, opened = (1, 784), True
    given, weight = 18, 18
    made = given + 2 * weight
    told = 16  # bits of fraction down to which negative numbers are told

    def __init__(self, folder: Path, first: Matrix, second: Matrix) -> None:
        self._first, self._second = first, second
        # Inputs are pixels from 0 to 1, which bounds what goes into the ReLU.
        stored = arrays(folder, "mlp")
        largest = (np.abs(stored["w1"]).sum(0) + np.abs(stored["b1"])).max()
        scale = self.given + self.weight
        self._relu = Relu(Width(scale + int(np.ceil(np.log2(largest))) + 1, scale - self.told))

    def __call__(self, run: Run, x: torch.Tensor) -> Result:
        hidden = _through(run, self._first, run.given(x))
        result = self._second.of_share(run, run.apply(self._relu, hidden))
        return result, run.public(torch.zeros(1, dtype=torch.int64))  # it has no range to leave

    @classmethod
    def matrices(cls, folder: Path) -> list[Public]:
        stored = arrays(folder, "mlp")
        return [
            Public(_encoded(stored[weight], cls.weight), _encoded(stored[bias], scale)[None])
            for weight, bias, scale in (("w1", "b1", cls.given + cls.weight), ("w2", "b2", cls.made))
        ]


class Block:
    """One layer of the backend's own transformer on 16 tokens."""

    shape, opened = (16, 128), False

    def __init__(self, weights: Weights, format: Format) -> None:
        self._transformer = Transformer(weights, format)
        self.given = self.made = format.scales.residual

    def __call__(self, run: Run, x: torch.Tensor) -> Result:
        guards = Guards()
        (residual,) = run.open(x)
        return run.share(self._transformer.layer(run, residual, 0, Cache(), 0, guards)), guards.total.reshape(1)

    @staticmethod
    def format(folder: Path, kind: str) -> Format:
        """How its numbers are held where weights are `public` or `secret`."""
        return Format.travelled(json.loads((folder / "block.json").read_text())[kind])


class Lifted:
    """16 rows over Z_2^32, as looking them up gives them, lifted to Z_2^64 as by the first opening of a model."""

    shape, opened = (16, 768), False
    given = made = Scales().residual

    def __call__(self, run: Run, x: torch.Tensor) -> Result:
        (opened,) = run.open(x << 32)
        rows: torch.Tensor = run.share(run.apply(Truncate(32), opened))
        return rows, run.public(torch.zeros(1, dtype=torch.int64))


def _through(run: Run, matrix: Matrix, x: Wire) -> Wire:
    """What a matrix makes of a wire, opened: without a round where both nodes hold it."""
    if isinstance(matrix, Shared):
        return run.open(matrix.of_wire(run, x))[0]
    return run.renew(x, matrix.matrix.weighted, matrix.bias)


def public(folder: Path, work: str, model: Folded) -> Work:
    """A computation on weights that both nodes hold."""
    if work == "mlp":
        return Mlp(folder, *(Packed(Rows(matrix.weight), matrix.bias) for matrix in Mlp.matrices(folder)))
    format = Block.format(folder, "public")
    return Block(fixed(model, format.scales), format)


def secrets(folder: Path, work: str, model: Folded) -> list[Public]:
    """What the owner of a computation's weights shares."""
    return Mlp.matrices(folder) if work == "mlp" else whole(model, Block.format(folder, "secret").scales)


def secret(folder: Path, work: str, model: Folded, run: Run, shares: Sequence[Public]) -> Work:
    """A computation on weights that nodes hold shares of: `run` opens them under masks."""
    if work == "mlp":
        opened = run.open(*(share.weight for share in shares))
        return Mlp(folder, *(Shared(Through.of(run, w), share.bias) for w, share in zip(opened, shares, strict=True)))
    format = Block.format(folder, "secret")
    return Block(held(run, model, format.scales, shares), format)


def arrays(folder: Path, name: str) -> dict[str, Any]:
    """Stored arrays of one computation, by name."""
    with np.load(folder / f"{name}.npz") as stored:
        return dict(stored)


def table(folder: Path) -> torch.Tensor:
    """The table that tokens are looked up in, at the residual stream's scale."""
    return _encoded(np.load(folder / "table.npy"), Scales().residual)


def _encoded(array: Any, scale: int) -> torch.Tensor:
    from unfed.backends.mpc.engine.ring import encode

    return encode(torch.from_numpy(array), scale)
