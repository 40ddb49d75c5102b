"""Canaries: whether any coalition received what the guarantee denies it.

Prompts with canaries are asked of an audited fleet, and every view is searched for them in the forms that `needles`
lists. Only what came after a first, plain query is searched, so that weights opened at the start prove nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from ..guarantee import OUTSIDERS, Claim
from ..models import ModelCard
from ..plan import Plan
from ..query import Token
from .canary import Canary, Planter
from .haystack import Haystack, Seen
from .needles import LETTERS, Needles
from .search import Search
from .wanted import Finding

Views = Mapping[str, Sequence[Seen]]
"""Process → what it saw of the canaries."""

SEARCHED = ("prompt", "output")
"""Assets that canaries stand for. Other claims are not tested by this kit."""


class Planted(msgspec.Struct, frozen=True):
    """A canary that was asked, and what was answered."""

    canary: Canary
    tokens: tuple[Token, ...]
    text: str


class Verdict(msgspec.Struct):
    """What the search of one guarantee came to, a line each."""

    broken: list[str] = []
    declared: list[str] = []
    unsearched: list[str] = []
    searched: int = 0


def judge(plan: Plan, planted: Sequence[Planted], views: Views, planter: Planter) -> Verdict:
    """Search for every asset that a claim keeps from a coalition; and say what those saw that are promised nothing."""
    verdict = Verdict()
    open_to = {asset: _exposed(plan, asset) for asset in SEARCHED}
    stacks = {name: Haystack(without_tables(seen, planter.card)) for name, seen in views.items()}
    searches: dict[tuple[str, bool], tuple[Search, list[str]]] = {}
    for claim in plan.guarantee:
        coalition = members(plan, claim)
        if claim.asset not in SEARCHED or claim.property != "confidentiality" or not coalition:
            continue
        other = "output" if claim.asset == "prompt" else "prompt"
        key = claim.asset, bool(coalition & open_to[other])
        if key not in searches:
            needles, missing = look_for(claim.asset, planted, planter, other_is_open=key[1])
            searches[key] = Search(stacks, needles), missing
        search, missing = searches[key]
        found = search.by(sorted(coalition))
        who = " with ".join(sorted(coalition))
        if claim.denies:
            verdict.searched += 1
            verdict.broken += [
                f"{claim.asset} is denied to {who} ({claim.basis}), which saw {finding}" for finding in found
            ]
            verdict.unsearched += [*missing, *search.beyond]
        elif found:
            verdict.declared.append(f"{who}: {', '.join(_kinds(found))}")
    verdict.unsearched = list(dict.fromkeys(verdict.unsearched))
    return verdict


def members(plan: Plan, claim: Claim) -> frozenset[str]:
    """Processes of a claim's coalition; outsiders have no view."""
    return frozenset(process for name in claim.against if name not in OUTSIDERS for process in processes_of(plan, name))


def processes_of(plan: Plan, name: str) -> tuple[str, ...]:
    party = plan.party(name)
    return party.processes() if party.name == name else (name,)


def look_for(
    asset: str, planted: Sequence[Planted], planter: Planter, *, other_is_open: bool
) -> tuple[Needles, list[str]]:
    """Everything that would show `asset`, and what of it cannot be searched for.

    Args:
        other_is_open: the other asset may be seen, so what both have in common proves nothing.
    """
    needles, missing = Needles(), list[str]()
    vocab = planter.card.vocab if planter.card else 1 << 16
    for each in planted:
        prompt, ids, answer = each.canary.prompt, each.canary.ids, [token.id for token in each.tokens]
        if asset == "prompt" and each.canary.image is not None:
            needles.add_pixels("pixels", each.canary.image.numpy().reshape(-1))
        elif asset == "prompt":
            needles.add_words(
                "prompt text", (word for word in each.canary.words if not (other_is_open and word in each.text))
            )
            if not needles.add_ids("prompt token ids", ids, vocab, answer if other_is_open else ()):
                missing.append("prompt token ids (no tokenizer.json, or too few distinct ids)")
            rows = planter.embeddings(ids)
            needles.add_rows(rows)
            if not rows:
                missing.append("embedding rows (no model of a known family)")
        else:
            phrases = [*(word for word in each.canary.words if word in each.text), each.text.strip()[:48]]
            needles.add_words(
                "answer text",
                (part for part in phrases if len(part) > LETTERS and not (other_is_open and part in prompt)),
            )
            if not needles.add_ids("answer token ids", answer, vocab, ids if other_is_open else ()):
                missing.append("answer token ids (too few, or too repetitive)")
            logits = [np.frombuffer(token.logits, dtype="<f4") for token in each.tokens if token.logits]
            needles.add_rows({"logits": np.stack(logits)} if logits else {}, shift=True)
            if not logits:
                missing.append("logits (the client reports none)")
    return needles, missing


def without_tables(seen: Iterable[Seen], card: ModelCard | None) -> list[Seen]:
    """What was seen, without embeddings as a whole: those are weights on their way, and hold every row anyway."""
    if card is None or card.takes == "image":
        return list(seen)

    def kept(entry: Seen) -> Seen:
        arrays = {name: array for name, array in entry.entry.arrays.items() if not _is_table(array.shape, card)}
        return Seen(entry.party, msgspec.structs.replace(entry.entry, arrays=arrays))

    return [kept(each) for each in seen]


def _is_table(shape: tuple[int, ...], card: ModelCard) -> bool:
    size = math.prod(shape)
    return size == card.vocab * card.hidden or (
        bool(shape) and shape[-1] == card.hidden and size >= card.hidden * card.vocab // 2
    )


def _exposed(plan: Plan, asset: str) -> frozenset[str]:
    """Processes that no claim keeps the asset from."""
    denied = {
        name
        for claim in plan.guarantee
        if claim.asset == asset and claim.property == "confidentiality" and claim.denies
        for name in members(plan, claim)
    }
    return frozenset(set(plan.processes()) - denied)


def _kinds(found: Iterable[Finding]) -> list[str]:
    return list(dict.fromkeys(finding.kind for finding in found))
