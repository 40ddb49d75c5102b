"""What `make_works` stores, as programs over CrypTen's tensors with its own functions and settings."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unfed.backends.mpc_crypten.library import communicators, crypten

FRACTION = 16
"""Bits of the fraction, CrypTen's own choice."""
MASKED = -16.0
"""Added to the scores of tokens that lie ahead: CrypTen's exponential of the difference is below its precision."""

Arrays = dict[str, torch.Tensor]


def mlp(x: Any, w: Arrays) -> Any:
    return (x.matmul(w["w1"]) + w["b1"]).relu().matmul(w["w2"]) + w["b2"]


def block(x: Any, w: Arrays) -> Any:
    tokens, hidden = x.shape
    heads = int(w["heads"])
    joined = _normed(x, w).matmul(w["qkv"]) + w["qkv_bias"]
    queries, keys, values = (
        joined[:, start : start + hidden].reshape(tokens, heads, hidden // heads).transpose(0, 1)
        for start in range(0, 3 * hidden, hidden)
    )
    ahead = torch.full((tokens, tokens), MASKED).triu(1)
    weighed = (queries.matmul(keys.transpose(1, 2)) + ahead).softmax(-1).matmul(values)
    x = x + weighed.transpose(0, 1).reshape(tokens, hidden).matmul(w["out"]) + w["out_bias"]
    up = _normed(x, w).matmul(w["up"]) + w["up_bias"]
    return x + (up * up.sigmoid()).matmul(w["down"]) + w["down_bias"]


def _normed(x: Any, w: Arrays) -> Any:
    return x * (x.square().mean(-1, keepdim=True) + float(w["epsilon"])).inv_sqrt()


def embedding(x: Any, w: Arrays) -> Any:
    """One-hot rows, shared as whole numbers, by a table that is in fixed point already: nothing is encoded or cut."""
    rows = x.matmul(w["table"])
    rows.encoder = crypten.encoder.FixedPointEncoder(FRACTION)
    return rows


WORKS: dict[str, Callable[[Any, Arrays], Any]] = {"mlp": mlp, "block": block, "embedding": embedding}


class Works:
    """Weights, inputs and results as they were stored, read when first asked for.

    Args:
        folder: where `make_works` stored them.
        waited: seconds spent so far on waiting for triples, at rank 0.
    """

    def __init__(self, folder: Path, waited: Callable[[], float]) -> None:
        self._folder, self._waited = folder, waited
        self._read: dict[str, tuple[Arrays, torch.Tensor, torch.Tensor]] = {}

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """Seconds from sharing an input to its opened result, of which so many `waiting`, and the largest `error`."""
        work, number = question["work"], question["number"]
        if work not in self._read:
            self._read[work] = self._embedding() if work == "embedding" else self._load(work)
        weights, x, wanted = self._read[work]
        place = number % len(x)
        given, fraction = x[place].float(), 0 if work == "embedding" else FRACTION
        communicators.get().barrier()
        waited, began = self._waited(), time.perf_counter()
        shared = crypten.cryptensor(given, src=0, precision=fraction)
        found = WORKS[work](shared, weights).get_plain_text()
        return {
            "seconds": time.perf_counter() - began,
            "waiting": self._waited() - waited,
            "error": float((found.double() - wanted[place]).abs().max()),
        }

    def _load(self, work: str) -> tuple[Arrays, torch.Tensor, torch.Tensor]:
        """Public weights float32, inputs and wanted results float64."""
        with np.load(self._folder / f"{work}.npz") as stored:
            found = {name: torch.from_numpy(stored[name]) for name in stored}
        x, wanted = found.pop("x"), found.pop("wanted")
        return {name: each.float() for name, each in found.items()}, x, wanted

    def _embedding(self) -> tuple[Arrays, torch.Tensor, torch.Tensor]:
        table = torch.from_numpy(np.load(self._folder / "table.npy"))
        with np.load(self._folder / "embedding.npz") as stored:
            ids = torch.from_numpy(stored["ids"])
        encoded = (table.double() * 2**FRACTION).round().long()
        return {"table": encoded}, torch.nn.functional.one_hot(ids, len(table)), table[ids].double()
