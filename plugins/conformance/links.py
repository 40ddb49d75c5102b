"""Check of links: every connection that the plan does not have is refused, whoever tries it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping

from .outcome import Complaint, complain
from .probes import Probes
from .rig import Rig


async def refusals(rig: Rig) -> str:
    """Parties without a link cannot reach each other with their own keys, nor can a stranger reach any of them.

    Linked pairs are tried in the same way and must get through, or the refusals would prove nothing.
    """
    names = rig.plan.processes()
    unlinked = {a: [b for b in names if b != a and b not in rig.plan.peers(a)] for a in names}
    linked = {a: [b for b in rig.plan.peers(a) if names.index(a) > names.index(b)] for a in names}
    problems: list[str] = []
    async with Probes(rig) as probes:
        for name in names:
            tried = await rig.lab.stranger(probes.fleet.addresses()[name])
            problems += _let_in("a stranger with a key of its own", name, tried)
        for source, target, tried in await _knock(probes, unlinked):
            problems += _let_in(source, target, tried)
        made = await rig.ask(probes.fleet)
        if made.failure is not None:
            raise Complaint(f"refused connections disturb the fleet: {made.failure}")
        # Linked ones last, and once each: a second connection may take the place of the first, and whoever comes first
        # in the plan would then dial anew.
        for source, target, tried in await _knock(probes, linked):
            if refused := ", ".join(f"{door}: {why}" for door, why in tried.items() if why):
                raise Complaint(f"{source} cannot reach {target}, to which it is linked ({refused}): nothing was shown")
    complain(problems)
    missing = sum(map(len, unlinked.values()))
    return f"{missing} missing links and {len(names)} attempts of a stranger refused at every door"


async def _knock(probes: Probes, targets: Mapping[str, list[str]]) -> list[tuple[str, str, dict[str, str]]]:
    """Have each source try its targets, all at once."""

    async def one(source: str) -> list[tuple[str, str, dict[str, str]]]:
        tried = await probes.knock(source, targets[source])
        return [(source, target, doors) for target, doors in zip(targets[source], tried, strict=True)]

    return list(itertools.chain.from_iterable(await asyncio.gather(*map(one, targets))))


def _let_in(source: str, target: str, tried: dict[str, str]) -> list[str]:
    return [f"{source} got into {target} by {door}, without a link" for door, why in tried.items() if not why]
