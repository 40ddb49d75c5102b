"""The largest of many shared numbers, and where it stands: neighbours are compared, then the winners, and so on."""

from __future__ import annotations

import torch

from .gates import Choose, Relu, Width
from .gates.compare import WHOLE
from .session import Run


def largest(run: Run, x: torch.Tensor, width: Width = WHOLE) -> torch.Tensor:
    """Shares of the largest of x [..., n], as [..., 1].

    A tournament of `Relu`. Rounds: ⌈log2 n⌉. Bytes a row, n - 1 times: 8 opened; common, 33 a bit less 17.

    Args:
        width: of differences, which may not wrap: |x| < 2^(width.range - 2) is to be proved. Where it drops bits, what
            is found may be as much as 2^drop a round below the largest.
    """
    while x.shape[-1] > 1:
        first, second = _pairs(x)
        (difference,) = run.open(first - second)
        x = torch.cat([second + run.apply(Relu(width), difference), _rest(x)], -1)
    return x


def argmax(run: Run, x: torch.Tensor, width: Width = WHOLE) -> tuple[torch.Tensor, torch.Tensor]:
    """Shares of the largest of x [..., n] and of its place, the first one where several are as large: [..., 1] each.

    A tournament of `Choose`. Rounds: ⌈log2 n⌉. Bytes a row, n - 1 times: 16 opened; common, 41 a bit less 17.

    Args:
        width: see `largest`.
    """
    place = run.public(torch.arange(x.shape[-1]).expand(x.shape))
    while x.shape[-1] > 1:
        (first, second), (here, there) = _pairs(x), _pairs(place)
        wires = run.open(first - second, there - here)
        larger, further = run.apply(Choose(width), *wires)
        x = torch.cat([second + larger, _rest(x)], -1)
        place = torch.cat([here + further, _rest(place)], -1)
    return x, place


def _pairs(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Every element at an even place and the one behind it."""
    end = x.shape[-1] // 2 * 2
    return x[..., 0:end:2], x[..., 1:end:2]


def _rest(x: torch.Tensor) -> torch.Tensor:
    """What has no neighbour."""
    return x[..., x.shape[-1] // 2 * 2 :]
