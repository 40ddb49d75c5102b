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
