"""Searches what a coalition saw for a secret: in every message, in what messages add up to, and in shares put together.

What is found was there. What is not found may still be: a secret that is encrypted, compressed, transformed by a
model's layers, or shared among more messages than are tried here is not recognised. Attacks are for that; see
docs/write-a-backend.md for the forms and limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from .haystack import Haystack, Seen, raw, streams
from .needles import Needles
from .shares import in_shares, numbers_in_pairs
from .wanted import Finding, Wanted


def search(seen: Sequence[Seen], needles: Needles) -> list[Finding]:
    """All findings in what one coalition saw: each kind once per message; put together only if it lies nowhere."""
    views: dict[str, list[Seen]] = {}
    for each in seen:
        views.setdefault(each.party, []).append(each)
    return Search({party: Haystack(theirs) for party, theirs in views.items()}, needles).by(views)


class Search:
    """One secret, looked for in the views of one coalition after the other.

    What lies in one party's view, and what its arrays come to with those of others, is looked for once.

    Attributes:
        beyond: what cannot be told from chance in so large views, a line each.
    """

    def __init__(self, views: Mapping[str, Haystack], needles: Needles) -> None:
        # Streams are put together for each party and for all of them, so what is seen is looked through thrice.
        places = 3 * sum(view.size for view in views.values())
        places += numbers_in_pairs([each for view in views.values() for each in view.arrays])
        self._wanted = Wanted(needles, places)
        self.beyond = [f"{what} (too few for views of this size)" for what in self._wanted.beyond]
        self._views = views
        self._alone: dict[str, list[Finding]] = {}
        self._shared: dict[frozenset[str], list[Finding]] = {}

    def by(self, coalition: Iterable[str]) -> list[Finding]:
        """What these parties can find together: see `search`."""
        parties = [party for party in coalition if party in self._views and self._views[party].seen]
        found: dict[tuple[str, str], Finding] = {}
        direct = [finding for party in parties for finding in self._by_one(party)]
        if len(parties) > 1:
            pooled = streams([each for party in parties for each in self._views[party].seen], pooled=True)
            direct += [Finding(what, where) for where, each in pooled.items() for what in self._wanted.in_numbers(each)]
        for finding in direct:
            found.setdefault((finding.kind, finding.where.partition(", field ")[0]), finding)
        known = {finding.kind for finding in found.values()}
        for finding in self._by_shares(parties):
            if finding.kind not in known:
                found.setdefault((finding.kind, ""), finding)
        return list(found.values())

    def _by_one(self, party: str) -> list[Finding]:
        if party not in self._alone:
            self._alone[party] = list(_in_view(self._views[party], self._wanted))
        return self._alone[party]

    def _by_shares(self, parties: Sequence[str]) -> list[Finding]:
        placed = [each for party in parties for each in self._views[party].arrays]
        holders = frozenset(each.party for each in placed)
        if holders not in self._shared:
            self._shared[holders] = list(in_shares(placed, self._wanted))
        return self._shared[holders]


def _in_view(view: Haystack, wanted: Wanted) -> Iterator[Finding]:
    for each in view.seen:
        for data, kind in raw(each.entry):
            yield from (Finding(what, each.where) for what in wanted.in_message(data, kind))
    for where, text in view.texts.items():
        yield from (Finding(what, where) for what in wanted.in_text(text))
    for where, stream in view.streams.items():
        yield from (Finding(what, where) for what in wanted.in_numbers(stream))
    for array in view.arrays:
        yield from (Finding(what, array.where) for what in wanted.in_rows(array.values))
