"""`work`: in proportion to layers × tokens served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..query import Contribution
from ..reward import RewardScheme


class Work(RewardScheme):
    name, title = "work", "Layers × tokens served"

    def shares(self, contributions: Sequence[Contribution]) -> Mapping[str, float]:
        work = {each.party: max(0.0, each.amounts.get("layer_tokens", 0.0)) for each in contributions}
        total = sum(work.values())
        return {party: amount / total for party, amount in work.items()} if total else {}
