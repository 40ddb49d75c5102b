"""Runs a program with a dealer and two nodes in threads of one process: for tests of protocols, not of parties."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch

from unfed.backends.mpc.engine.blank import blank
from unfed.backends.mpc.engine.material import Deal, Draw, InputOwner
from unfed.backends.mpc.engine.session import Computing, Dealing, Preparing

Program = Callable[..., Any]


def run(program: Program, *inputs: torch.Tensor, given: Sequence[torch.Tensor] = ()) -> tuple[list[Any], list[Any]]:
    """Both nodes' results and runs of `program(run, *shares, *opened)`, on uniform shares of the inputs, and on what
    is `given`, opened by its owner. Each run also tells how many bytes were `sent_ahead` of them."""
    from unfed.backends.mpc.engine.ring import share

    deal = Deal()
    program(Dealing(deal), *(blank(*each.shape) for each in (*inputs, *given)))
    shares = [share(each) for each in inputs]
    queues: list[queue.Queue[torch.Tensor]] = [queue.Queue(), queue.Queue()]
    results: list[Any] = [None, None]
    runs: list[Any] = [None, None]
    told: list[bytes] = [b"", b""]
    prepared = threading.Barrier(2, timeout=60)

    def node(party: int) -> None:
        def exchange(mine: torch.Tensor) -> torch.Tensor:
            queues[1 - party].put(mine.clone())
            return queues[party].get(timeout=60)

        try:
            preparing = Preparing(Draw(party, *deal.parts()[party]))
            program(preparing, *(blank(*each.shape) for each in (*inputs, *given)))
            preparing.draw.finish()
            preparing.meet(exchange)
            told[party] = preparing.draw.seed
            prepared.wait()
            owner = InputOwner(told) if given else None
            opened = [value + owner.mask(*value.shape) for value in given] if owner is not None else []
            runs[party] = Computing(party, preparing.made, exchange)
            runs[party].sent_ahead = preparing.sent
            results[party] = program(runs[party], *(pair[party] for pair in shares), *opened)
            assert not preparing.made, "material was left over"
        except BaseException as error:
            results[party] = error
            prepared.abort()

    threads = [threading.Thread(target=node, args=(party,)) for party in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    failed = [result for result in results if isinstance(result, BaseException)]
    for error in sorted(failed, key=lambda error: isinstance(error, threading.BrokenBarrierError)):
        raise error  # rather than that it kept the other one waiting
    return results, runs


def reveal(program: Program, *inputs: torch.Tensor, given: Sequence[torch.Tensor] = ()) -> torch.Tensor:
    """What the two nodes' result shares add up to."""
    results, _ = run(program, *inputs, given=given)
    return results[0] + results[1]
