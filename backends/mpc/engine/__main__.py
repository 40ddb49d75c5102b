"""`python -m unfed.backends.mpc.engine` compiles the kernels, once for all processes to come, by running every gate."""

from __future__ import annotations

import torch

from .blank import blank
from .gates import Below, Relu, Spline, Table
from .gates.spline import relative
from .gates.table import bins
from .material import Deal, Draw
from .rows import HALF, WORD, Rows
from .session import Computing, Dealing, Preparing, Run


def everything(run: Run, x: torch.Tensor) -> torch.Tensor:
    """A program that needs every kernel."""
    (wire,) = run.open(x)
    total = run.apply(Relu(), wire) + run.apply(Below(0), wire)
    total = total + run.apply(Spline(relative(lambda each: each**-0.5, 1 << 20, 1 << 22, 4)), wire)[0]
    result: torch.Tensor = total + run.apply(Table(bins(lambda each: each, 0, 12, 4, 20)), wire)
    return result


def main() -> None:
    for bits, kind, wide in ((HALF, torch.int32, False), (WORD, torch.int64, False), (WORD, torch.int64, True)):
        Rows(torch.zeros(1, 1, dtype=torch.int64), bits, wide=wide).weighted(torch.zeros(1, 1, dtype=kind))
    deal = Deal()
    everything(Dealing(deal), blank(1))
    for party, part in enumerate(deal.parts()):
        preparing = Preparing(Draw(party, *part))
        everything(preparing, blank(1))
        everything(Computing(party, preparing.made, lambda mine: mine), torch.zeros(1, dtype=torch.int64))


if __name__ == "__main__":
    main()
