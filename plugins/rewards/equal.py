"""`equal`: every node the same, whatever it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..query import Contribution
from ..reward import RewardScheme


class Equal(RewardScheme):
    name, title = "equal", "Equal shares"

    def shares(self, contributions: Sequence[Contribution]) -> Mapping[str, float]:
        return {each.party: 1 / len(contributions) for each in contributions}
