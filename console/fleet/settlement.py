"""What the parties of a fleet report on a query that is over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from unfed.plugins import Contribution, LinkCount, Trace, View

from ..party.control import Settled
from .member import Member


class Settlement(msgspec.Struct, kw_only=True):
    """Trace, contributions of the nodes, and their views so far (with entries and bytes of this query).

    `adopted` are ids of what was done ahead for the query, which is in all of these; `silent` names the parties that
    did not report: what they sent and did is missing.
    """

    trace: Trace
    contributions: list[Contribution]
    views: list[tuple[View, int, int]]
    adopted: tuple[str, ...]
    silent: list[str]


def merged(one: Settlement, ahead: Settlement) -> Settlement:
    """`one`, of a query, with what was done ahead for it and settled by itself. Rounds are the query's own."""
    links: dict[tuple[str, str], LinkCount] = {}
    for link in (*one.trace.links, *ahead.trace.links):
        known = links.get((link.source, link.target), LinkCount(source=link.source, target=link.target))
        links[link.source, link.target] = msgspec.structs.replace(
            known, messages=known.messages + link.messages, bytes=known.bytes + link.bytes
        )
    amounts: dict[str, dict[str, float]] = {}
    for contribution in (*one.contributions, *ahead.contributions):
        mine = amounts.setdefault(contribution.party, {})
        for name, amount in contribution.amounts.items():
            mine[name] = mine.get(name, 0.0) + amount
    sizes = {view.party: (entries, size) for view, entries, size in ahead.views}
    views = []
    for view, entries, size in one.views:
        more, larger = sizes.get(view.party, (0, 0))
        views.append((view, entries + more, size + larger))
    return msgspec.structs.replace(
        one,
        trace=Trace(links=tuple(links.values()), rounds=one.trace.rounds),
        contributions=[Contribution(party=party, amounts=mine) for party, mine in amounts.items()],
        views=views,
        silent=list(dict.fromkeys((*one.silent, *ahead.silent))),
    )


def add_up(
    members: Mapping[str, Member], reports: Mapping[str, Settled | None], adopted: tuple[str, ...]
) -> Settlement:
    """One settlement of the members' reports."""
    links: list[LinkCount] = []
    contributions: list[Contribution] = []
    views: list[tuple[View, int, int]] = []
    silent: list[str] = []
    rounds = 0
    for name, member in members.items():
        report = reports[name]
        if report is None:
            silent.append(name)
        else:
            links.extend(report.trace.links)
            rounds = max(rounds, report.trace.rounds)
            if member.spec.tape:
                views.append((View(name, Path(member.spec.tape)), report.entries, report.tape_bytes))
        if not member.state.trusted:
            contributions.append(report.contribution if report else Contribution(party=name))
    return Settlement(
        trace=Trace(links=tuple(links), rounds=rounds),
        contributions=contributions,
        views=views,
        adopted=adopted,
        silent=silent,
    )
