"""Delays what torch.distributed carries, within one host: each message can be used a fixed time after it was sent.

A sender never sleeps: a stamp of the host's monotonic clock travels before each message, and whoever receives waits for
it to have aged. A collective costs one delay after the last of the *other* ranks sent; gloo's own all-reduce
would take two over a slow link, so this is to the peer's advantage.
"""

from __future__ import annotations

import time
from typing import Any

import torch
import torch.distributed as dist

UNUSED = ("send", "recv", "reduce", "gather", "all_gather", "scatter")
"""What no program here needs: they would not be delayed, so they fail."""


class Late:
    """A message under way: `wait` returns when it has arrived, or at once at the side that sent it."""

    def __init__(self, delay: float, works: list[Any], stamps: list[torch.Tensor]) -> None:
        self._delay, self._works, self._stamps = delay, works, stamps

    def wait(self) -> bool:
        for work in self._works:
            work.wait()
        if self._stamps:
            left = max(int(stamp) for stamp in self._stamps) / 1e9 + self._delay - time.monotonic()
            if left > 0:
                time.sleep(left)
        return True


def make_late(delay: float) -> None:
    """Replace what CrypTen calls of torch.distributed in this process, `delay` in seconds."""
    all_reduce, broadcast, isend, irecv = dist.all_reduce, dist.broadcast, dist.isend, dist.irecv
    all_gather = dist.all_gather

    def now() -> torch.Tensor:
        return torch.tensor([time.monotonic_ns()])

    def late_all_reduce(tensor: torch.Tensor, op: Any, group: Any, async_op: bool = False) -> Any:
        mine = dist.get_rank(group)
        stamps = [torch.zeros(1, dtype=torch.int64) for _ in range(dist.get_world_size(group))]
        works = [all_gather(stamps, now(), group=group, async_op=True)]
        works.append(all_reduce(tensor, op=op, group=group, async_op=True))
        late = Late(delay, works, stamps[:mine] + stamps[mine + 1 :])
        return late if async_op else late.wait()

    def late_broadcast(tensor: torch.Tensor, src: int, group: Any, async_op: bool = False) -> Any:
        stamp = now()
        works = [broadcast(each, src, group=group, async_op=True) for each in (stamp, tensor)]
        late = Late(delay, works, [] if dist.get_rank() == src else [stamp])
        return late if async_op else late.wait()

    def late_isend(tensor: torch.Tensor, dst: int, group: Any) -> Late:
        return Late(delay, [isend(each, dst, group=group) for each in (now(), tensor)], [])

    def late_irecv(tensor: torch.Tensor, src: int, group: Any) -> Late:
        stamp = now()
        return Late(delay, [irecv(each, src, group=group) for each in (stamp, tensor)], [stamp])

    def unused(*arguments: Any, **named: Any) -> Any:
        raise NotImplementedError("this is not delayed")

    dist.all_reduce, dist.broadcast = late_all_reduce, late_broadcast
    dist.isend, dist.irecv = late_isend, late_irecv
    for name in UNUSED:
        setattr(dist, name, unused)
