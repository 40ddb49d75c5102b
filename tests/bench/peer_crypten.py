"""Stock CrypTen over gloo, two parties and its trusted third party: `peer_crypten.py FOLDER [DELAY]`.

This process is rank 0, which owns the input, as CrypTen has it; rank 1 and the third party run beside it. A question is
`{"work", "number"}` (see `make_works`); the answer tells `seconds` from sharing the input to the opened result, how many
of them rank 0 spent `waiting` for the third party's triples, and the largest `error` against float64. DELAY is seconds one way (see `late`).
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])  # where this folder is the package `bench`

import bench.crypten_import  # noqa: E402, F401
import crypten  # noqa: E402
import crypten.communicator as comm  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from bench.late import make_late  # noqa: E402
from crypten.config import cfg  # noqa: E402
from crypten.encoder import FixedPointEncoder  # noqa: E402
from crypten.mpc.provider.ttp_provider import TTPClient, TTPServer  # noqa: E402

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
    rows.encoder = FixedPointEncoder(FRACTION)
    return rows


WORKS: dict[str, Callable[[Any, Arrays], Any]] = {"mlp": mlp, "block": block, "embedding": embedding}
FRACTION = 16
"""Bits of the fraction, CrypTen's own choice."""


class Works:
    """Weights, inputs and results as they were stored, read when first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, tuple[Arrays, torch.Tensor, torch.Tensor]] = {}

    def get(self, work: str, number: int) -> tuple[Arrays, torch.Tensor, torch.Tensor]:
        """Public weights float32, an input and the wanted result in float64."""
        if work not in self._read:
            self._read[work] = self._embedding() if work == "embedding" else self._load(work)
        weights, x, wanted = self._read[work]
        return weights, x[number % len(x)], wanted[number % len(x)]

    def _load(self, work: str) -> tuple[Arrays, torch.Tensor, torch.Tensor]:
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


def run(rank: int, folder: Path, delay: float, rendezvous: str, asked: Callable[[], Any], say: Callable[[Any], None]) -> None:
    """One rank: answers what `asked` gives until it gives None."""
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    os.environ.update(
        RANK=str(rank), WORLD_SIZE="2", RENDEZVOUS=f"file://{rendezvous}", DISTRIBUTED_BACKEND="gloo", GLOO_SOCKET_IFNAME="lo"
    )
    cfg.mpc.provider = "TTP"
    if delay:
        make_late(delay)
    if rank == 2:
        TTPServer()
        return
    crypten.init()
    waited = _Waiting()
    works = Works(folder)
    with torch.inference_mode(False), crypten.no_grad():
        while (question := asked()) is not None:
            weights, x, wanted = works.get(question["work"], question["number"])
            program = WORKS[question["work"]]
            fraction = 0 if question["work"] == "embedding" else FRACTION
            waited.seconds = 0.0
            comm.get().barrier()
            began = time.perf_counter()
            found = program(crypten.cryptensor(x.float(), src=0, precision=fraction), weights).get_plain_text()
            took = time.perf_counter() - began
            error = float((found.double() - wanted).abs().max())
            say({"seconds": took, "waiting": waited.seconds, "error": error})


class _Waiting:
    """Adds up what rank 0 waits for triples."""

    def __init__(self) -> None:
        self.seconds = 0.0
        client = TTPClient.get()
        real = client.ttp_request

        def request(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            result = real(*arguments, **named)
            self.seconds += time.perf_counter() - began
            return result

        client.ttp_request = request


def beside(rank: int, folder: Path, delay: float, rendezvous: str, asked: Connection) -> None:
    """Rank 1 or the third party, in its own process; ends with rank 0."""

    def ask() -> Any:
        try:
            return asked.recv()
        except EOFError:
            return None

    run(rank, folder, delay, rendezvous, ask, lambda answer: None)


def main(folder: Path, delay: float) -> None:
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    with tempfile.TemporaryDirectory(prefix="unfed-bench-") as place:
        rendezvous = str(Path(place) / "rendezvous")
        for rank in (1, 2):
            spawn.Process(target=beside, args=(rank, folder, delay, rendezvous, theirs), daemon=True).start()
        theirs.close()

        def ask() -> Any:
            if not (line := sys.stdin.readline()):
                return None
            question = json.loads(line)
            ours.send(question)
            return question

        run(0, folder, delay, rendezvous, ask, lambda answer: print(json.dumps(answer), flush=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0)
