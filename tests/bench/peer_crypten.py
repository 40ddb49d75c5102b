"""Stock CrypTen over gloo, two parties and its trusted third party: `peer_crypten.py FOLDER DELAY`.

This process is rank 0, which owns the input, as CrypTen has it; rank 1 and the third party run beside it. A question
names its `work`: `decode` (see `crypten_decode`), or one of `crypten_works`. DELAY is in seconds one way (see `late`).
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
from functools import cached_property
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])  # where this folder is the package `bench`

import torch  # noqa: E402
from bench.crypten_decode import Decoder  # noqa: E402
from bench.crypten_works import Works  # noqa: E402
from bench.late import make_late  # noqa: E402

from unfed.backends.mpc_crypten.library import TTPClient, TTPServer, cfg, crypten  # noqa: E402

THIRD = 2


class Rank:
    """What a rank computes, and the time that rank 0 waits for triples."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._waited = folder, 0.0
        client = TTPClient.get()
        real = client.ttp_request

        def request(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            result = real(*arguments, **named)
            self._waited += time.perf_counter() - began
            return result

        client.ttp_request = request

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        return (self._decoder if question["work"] == "decode" else self._works).answer(question)

    @cached_property
    def _works(self) -> Works:
        return Works(self._folder, lambda: self._waited)

    @cached_property
    def _decoder(self) -> Decoder:
        return Decoder(self._folder / "demo", lambda: self._waited)


def run(rank: int, folder: Path, delay: float, place: str, ask: Callable[[], Any], say: Callable[[Any], None]) -> None:
    """Be one rank until there are no more questions.

    Args:
        place: a folder in which the ranks find each other.
    """
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    os.environ.update(
        RANK=str(rank),
        WORLD_SIZE=str(THIRD),
        RENDEZVOUS=f"file://{place}/rendezvous",
        DISTRIBUTED_BACKEND="gloo",
        GLOO_SOCKET_IFNAME="lo",
    )
    cfg.mpc.provider = "TTP"
    if delay:
        make_late(delay)
    if rank == THIRD:
        TTPServer()
        return
    crypten.init()
    me = Rank(folder)
    while (question := ask()) is not None:
        say(me.answer(question))


def beside(rank: int, folder: Path, delay: float, place: str, asked: Connection) -> None:
    """Rank 1 or the third party, in a process of its own; they end with rank 0."""

    def ask() -> Any:
        try:
            return asked.recv()
        except EOFError:
            return None

    run(rank, folder, delay, place, ask, lambda answer: None)


def main(folder: Path, delay: float) -> None:
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    with tempfile.TemporaryDirectory(prefix="unfed-bench-") as place:
        for rank in (1, THIRD):
            spawn.Process(target=beside, args=(rank, folder, delay, place, theirs), daemon=True).start()
        theirs.close()

        def ask() -> Any:
            if not (line := sys.stdin.readline()):
                return None
            ours.send(question := json.loads(line))
            return question

        run(0, folder, delay, place, ask, lambda answer: print(json.dumps(answer), flush=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
