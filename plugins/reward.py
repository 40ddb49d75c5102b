"""Reward schemes: contributions in, shares out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from .query import Contribution


class RewardScheme(ABC):
    """One way to split the reward of one query among the nodes."""

    name: ClassVar[str]
    title: ClassVar[str]

    @abstractmethod
    def shares(self, contributions: Sequence[Contribution]) -> Mapping[str, float]:
        """Party → share, non-negative and summing to 1; empty where there is nothing to split.

        Args:
            contributions: one for every node of the plan (never the client), those that did nothing included.
        """
