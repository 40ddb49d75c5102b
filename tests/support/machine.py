"""Runs a program with a dealer and two nodes in threads of one process: for tests of protocols, not of parties."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

import torch

from unfed.backends.mpc.engine.blank import blank
from unfed.backends.mpc.engine.session import Computing, Deal, Dealing, Draw, Preparing

Program = Callable[..., Any]


def run(program: Program, *inputs: torch.Tensor) -> tuple[list[Any], list[Computing]]:
    """Both nodes' results and runs of `program(run, *shares)`, on uniform shares of the inputs."""
    from unfed.backends.mpc.engine.ring import share

    deal = Deal()
    program(Dealing(deal), *(blank(*each.shape) for each in inputs))
    shares = [share(each) for each in inputs]
    queues: list[queue.Queue[torch.Tensor]] = [queue.Queue(), queue.Queue()]
    results: list[Any] = [None, None]
    runs: list[Any] = [None, None]

    def node(party: int) -> None:
        try:
            preparing = Preparing(Draw(party, *deal.parts()[party]))
            program(preparing, *(blank(*each.shape) for each in inputs))
            preparing.draw.finish()

            def exchange(mine: torch.Tensor) -> torch.Tensor:
                queues[1 - party].put(mine.clone())
                return queues[party].get(timeout=60)

            runs[party] = Computing(party, preparing.made, exchange)
            results[party] = program(runs[party], *(pair[party] for pair in shares))
            assert not preparing.made, "material was left over"
        except BaseException as error:
            results[party] = error

    threads = [threading.Thread(target=node, args=(party,)) for party in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results, runs


def reveal(program: Program, *inputs: torch.Tensor) -> torch.Tensor:
    """What the two nodes' result shares add up to."""
    results, _ = run(program, *inputs)
    return results[0] + results[1]
