"""What `make_works` stores, as programs over CrypTen's tensors."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unfed.backends.common.folded import fold
from unfed.backends.mpc_crypten.functions import Crypten
from unfed.backends.mpc_crypten.library import communicators, crypten
from unfed.backends.mpc_crypten.ranges import watch
from unfed.backends.mpc_crypten.transformer import Transformer
from unfed.console.party.model import OpenModel
from unfed.console.runner.models import read_card
from unfed.plugins import OpenedModel

FRACTION = 16
"""Bits of the fraction, CrypTen's own choice."""
MASKED = -16.0
"""Added to the scores of tokens that lie ahead: CrypTen's exponential of the difference is below its precision."""

Arrays = dict[str, torch.Tensor]


class Stock:
    """CrypTen's own functions under its own settings, as a transformer needs them."""

    def normalise(self, x: Any, epsilon: float, site: int) -> Any:
        return x * (x.square().mean(-1, keepdim=True) + epsilon).inv_sqrt()

    def softmax(self, scores: Any, seen: torch.Tensor) -> Any:
        return (scores + (1 - seen) * MASKED).softmax(-1)

    def activate(self, x: Any, name: str) -> Any:
        return x * x.sigmoid()


def mlp(x: Any, w: dict[str, Any], functions: Any) -> Any:
    return (x.matmul(w["w1"]) + w["b1"]).relu().matmul(w["w2"]) + w["b2"]


def block(x: Any, w: dict[str, Any], functions: Any) -> Any:
    tokens, hidden = x.shape
    heads, epsilon = int(w["heads"]), float(w["epsilon"])
    joined = functions.normalise(x, epsilon, 0).matmul(w["qkv"]) + w["qkv_bias"]
    queries, keys, values = (
        joined[:, start : start + hidden].reshape(tokens, heads, hidden // heads).transpose(0, 1)
        for start in range(0, 3 * hidden, hidden)
    )
    seen = torch.ones(heads, tokens, tokens, dtype=torch.int64).tril()
    weighed = functions.softmax(queries.matmul(keys.transpose(1, 2)), seen).matmul(values)
    x = x + weighed.transpose(0, 1).reshape(tokens, hidden).matmul(w["out"]) + w["out_bias"]
    up = functions.normalise(x, epsilon, 1).matmul(w["up"]) + w["up_bias"]
    return x + functions.activate(up, "silu").matmul(w["down"]) + w["down_bias"]


def embedding(x: Any, w: Arrays, functions: Any) -> Any:
    """One-hot rows, shared as whole numbers, by a table that is in fixed point already: nothing is encoded or cut."""
    rows = x.matmul(w["table"])
    rows.encoder = crypten.encoder.FixedPointEncoder(FRACTION)
    return rows


WORKS: dict[str, Callable[[Any, Any, Any], Any]] = {"mlp": mlp, "block": block, "embedding": embedding}


class Works:
    """Weights, inputs and results as they were stored, read when first asked for.

    Args:
        folder: where `make_works` stored them.
        waited: seconds spent so far on waiting for triples, at rank 0.
    """

    def __init__(self, folder: Path, waited: Callable[[], float]) -> None:
        self._folder, self._waited = folder, waited
        self._read: dict[str, tuple[Arrays, torch.Tensor, torch.Tensor]] = {}
        self._secret: dict[str, dict[str, Any]] = {}

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """Seconds from sharing an input to its opened result, of which so many `waiting`, and the largest `error`.

        With `better` in the question, the block's functions are those of the backend `mpc-crypten`; with `secret`,
        rank 1 has shared the weights beforehand.
        """
        work, number = question["work"], question["number"]
        if work not in self._read:
            self._read[work] = self._embedding() if work == "embedding" else self._load(work)
        weights, x, wanted = self._read[work]
        if question.get("secret"):
            weights = self._shared(work, weights)
        place = number % len(x)
        given, fraction = x[place].float(), 0 if work == "embedding" else FRACTION
        functions = self._better if question.get("better") else Stock()
        communicators.get().barrier()
        waited, began = self._waited(), time.perf_counter()
        shared = crypten.cryptensor(given, src=0, precision=fraction)
        found = WORKS[work](shared, weights, functions).get_plain_text()
        return {
            "seconds": time.perf_counter() - began,
            "waiting": self._waited() - waited,
            "error": float((found.double() - wanted[place]).abs().max()),
        }

    @cached_property
    def _better(self) -> Crypten:
        card = read_card(self._folder / "block")
        transformer = Transformer(fold(OpenModel("peer", OpenedModel(card, ("all",)))))
        return Crypten(watch(transformer, card.vocab, card.context))

    def _shared(self, work: str, weights: Arrays) -> dict[str, Any]:
        """What the input is multiplied with or has added, encrypted once."""
        if work not in self._secret:
            self._secret[work] = {
                name: crypten.cryptensor(each, src=1) if each.dim() else each for name, each in weights.items()
            }
        return self._secret[work]

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
