"""How long links take, as the processes at their ends have measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...fleet.state import PartyState
from .parties import Key


def one_way(
    parties: Mapping[Key, PartyState], variant: str, some: Iterable[str], others: Iterable[str]
) -> float | None:
    """Seconds that a message takes over the slowest link between `some` and `others`: half of its round trip.

    None where no such link was measured, or where those at its ends are not ready.
    """
    others = list(others)
    found = [trip for a in some for b in others if (trip := _round_trip(parties, variant, a, b)) is not None]
    return max(found) / 2 if found else None


def links(parties: Mapping[Key, PartyState], party: PartyState) -> dict[str, float]:
    """The same for each link of one party that was measured, by peer."""
    names = [name for variant, name in parties if variant == party.variant]
    found = {name: one_way(parties, party.variant, [party.name], [name]) for name in names}
    return {name: seconds for name, seconds in found.items() if seconds is not None}


def _round_trip(parties: Mapping[Key, PartyState], variant: str, a: str, b: str) -> float | None:
    """Of the link between two processes, which is measured at one of its ends."""
    one, other = parties.get((variant, a)), parties.get((variant, b))
    if one is None or other is None or not one.health == other.health == "ready":
        return None
    return one.round_trips.get(b, other.round_trips.get(a))
