"""What entries and dealer compute together, done again in the clear: whether it was done, and not whose doing it was.

Nobody can do one entry's part again, whose numbers are uniform whatever it does. But both parts add up to what the
layers give, which fixed-point numbers and tables for functions leave a little off.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...common.folded import streamed
from ...mpc.engine.ring import decode
from ..promises import TOGETHER
from .audit import Judge
from .proof import Rows, Step

Opened = tuple[Sequence[Rows], int]
"""Shares that an entry sent, step by step, and their scale."""


def fault(judge: Judge, layers: tuple[int, int], cells: Sequence[Sequence[Step]], sent: Sequence[Opened]) -> str:
    """What the entries and the dealer did instead of what they should; empty where they did that.

    Args:
        layers: the first and the last of those that they run.
        cells: what each entry was asked; sent: its shares of what it sent for that.
    Raises:
        UnfedError: it cannot be told, for what was asked leads to no numbers.
    """
    asked = judge.looked_up([judge.shares(party, each) for party, each in enumerate(cells)])
    wanted = [Rows(start, streamed(judge.card, rows)) for start, rows in judge.run(judge.shard(layers), asked)]
    if (off := distance(wanted, *sent)) <= TOGETHER:
        return ""
    return f"computed something else: off by {off:.2g} of a row's length, where {TOGETHER:g} is allowed"


def distance(wanted: Sequence[Rows], one: Opened, other: Opened) -> float:
    """How far what two entries' shares add up to lies from what it should be, at the worst row, in its lengths.

    It is inf where rows are missing, or do not go together.
    """
    (first, scale), (second, theirs) = one, other
    if scale != theirs or not len(wanted) == len(first) == len(second):
        return float("inf")
    most = 0.0
    for (start, rows), mine, yours in zip(wanted, first, second, strict=True):
        if not start == mine.start == yours.start or not rows.shape == mine.rows.shape == yours.rows.shape:
            return float("inf")
        off = decode(mine.rows + yours.rows, scale) - rows
        worst = float((off.norm(dim=-1) / rows.double().norm(dim=-1).clamp_min(1e-12)).max())
        most = max(most, worst if worst == worst else float("inf"))
    return most
