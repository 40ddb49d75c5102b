"""Rewards of a run: work counts until it fails a check, and then what its party did before counts no more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from unfed.plugins import Contribution, Note, RewardScheme

from ..results.record import News, Result, RewardSplit
from . import score

CAUGHT = "caught"
"""Kind of the note that a client role gives of a party that a check found out."""
DOUBTED = "doubted"
"""The same of each of several whose work failed a check together, so that nobody can tell whose doing it was. None of
them is accused; but verified work alone counts, and theirs is not."""


class Rewarding:
    """Splits, by variant, as they have to be seen now."""

    def __init__(self, schemes: Mapping[str, type[RewardScheme]]) -> None:
        self._schemes = schemes
        self._caught: defaultdict[str, set[str]] = defaultdict(set)
        self._settled: defaultdict[str, list[tuple[Result, Sequence[Contribution]]]] = defaultdict(list)

    def heard(self, variant: str, note: Note | News) -> None:
        """A note of an answer, or of none; one that somebody was caught, or is doubted, has all split anew."""
        if note.kind in (CAUGHT, DOUBTED) and note.party and note.party not in self._caught[variant]:
            self._caught[variant].add(note.party)
            for result, contributions in self._settled[variant]:
                result.rewards = self._split(variant, contributions)

    def settled(self, variant: str, result: Result, contributions: Sequence[Contribution]) -> None:
        self._settled[variant].append((result, contributions))
        result.rewards = self._split(variant, contributions)

    def _split(self, variant: str, contributions: Sequence[Contribution]) -> list[RewardSplit]:
        nodes = [each.party for each in contributions]
        return score.rewards(self._schemes, nodes, contributions, self._caught[variant])
