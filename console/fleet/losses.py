"""Parties that are gone: their peers wait for them no longer, and of those that queries survive the client is told."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from unfed.plugins import CLIENT, Failure, Plan

from ..party.control import Gone, Lost, Returned
from .member import Member


class Losses:
    """Who is lost, and who is told.

    Args:
        members: whom to tell, by name; the fleet's own, which change.

    Attributes:
        survivable: processes whose loss fails no query; the client is told of it instead, once until they return.
    """

    def __init__(self, plan: Plan, members: Mapping[str, Member]) -> None:
        self._plan, self._members = plan, members
        self.survivable = plan.survivable()
        self._lost: dict[str, Failure] = {}

    def explains(self, failure: Failure) -> bool:
        """Whether a party failed only because one is lost whose loss is survivable, and which is told of by itself."""
        return failure.kind in ("party-lost", "party-hung") and failure.party in self.survivable

    def gone(self, name: str, failure: Failure) -> None:
        """A process has ended, or is about to be made to."""
        for peer in self._plan.peers(name):
            self._members[peer].tell(Gone(name))
        if name in self.survivable and name not in self._lost:
            self._lost[name] = failure
            self._members[CLIENT].tell(Lost(name, failure))

    def joined(self, names: Collection[str]) -> None:
        """Fresh processes have met their peers and are ready."""
        returned = [name for name in names if self._lost.pop(name, None) is not None]
        if CLIENT in names:  # this one knows nothing yet
            for name, failure in self._lost.items():
                self._members[CLIENT].tell(Lost(name, failure))
        else:
            for name in returned:
                self._members[CLIENT].tell(Returned(name))
