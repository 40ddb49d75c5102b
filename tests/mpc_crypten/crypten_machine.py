"""Two ranks and a dealer in threads of one process: for tests of the program, not of parties."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

import torch

from unfed.backends.mpc.engine.ring import share
from unfed.backends.mpc_crypten.dealing import Server
from unfed.backends.mpc_crypten.rehearsal import rehearse
from unfed.backends.mpc_crypten.session import Session, install
from unfed.plugins import UnfedError


class Pipe:
    """A channel within one process. Counts its rounds and the bytes of its arrays."""

    def __init__(self, inbox: queue.Queue[Any], outbox: queue.Queue[Any]) -> None:
        self._inbox, self._outbox = inbox, outbox
        self.query, self.rounds, self.bytes = "", 0, 0

    def send(self, **fields: Any) -> None:
        self.bytes += sum(8 * value.numel() for value in fields.values() if isinstance(value, torch.Tensor))
        self._outbox.put({k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in fields.items()})

    def recv(self, timeout: float | None = None) -> dict[str, Any]:
        self.rounds += 1
        found: dict[str, Any] | None = self._inbox.get(timeout=timeout)
        if found is None:
            raise UnfedError("the channel ended", kind="party-lost")
        return found

    def exchange(self, timeout: float | None = None, **fields: Any) -> dict[str, Any]:
        self.send(**fields)
        return self.recv(timeout)

    def close(self) -> None:
        self._outbox.put(None)


def pipe() -> tuple[Pipe, Pipe]:
    one: queue.Queue[Any] = queue.Queue()
    other: queue.Queue[Any] = queue.Queue()
    return Pipe(one, other), Pipe(other, one)


def run(program: Callable[..., Any], *inputs: torch.Tensor) -> tuple[list[Any], list[Pipe]]:
    """Both ranks' results of `program(*shares)`, and the channels: of both to each other, of the first to the dealer.

    Shares of the inputs are uniform.
    """
    install()
    peers, dealer, server = pipe(), pipe(), Server()
    shares = [share(each) for each in inputs]
    results: list[Any] = [None, None]

    def node(rank: int) -> None:
        try:
            session = Session(
                rank, f"compute-{1 - rank}", "dealer", server.seeds[rank], peers[rank], None if rank else dealer[0]
            )
            if rank == 0:
                session.prepare(rehearse(lambda: program(*map(torch.zeros_like, inputs))))
            results[rank] = session.run(lambda: program(*(each[rank] for each in shares)))
        except BaseException as error:
            results[rank] = error
            peers[rank].close()

    def deal() -> None:
        try:
            server.serve("compute-0", dealer[1])
        except UnfedError as error:
            if error.failure.kind != "party-lost":
                raise

    threads = [threading.Thread(target=node, args=(rank,)) for rank in (0, 1)]
    dealing = threading.Thread(target=deal)
    for thread in (*threads, dealing):
        thread.start()
    for thread in threads:
        thread.join()
    dealer[0].close()
    dealing.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results, [*peers, dealer[0]]
