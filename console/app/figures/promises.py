"""Claims in words, and what each party comes to see."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from unfed.plugins import Claim

from .badges import BASES
from .text import Line, clean_line, hanging, names

_BROKEN = {"confidentiality": "exposed to", "integrity": "integrity not protected against", "anonymity": "known to"}
_ONE_LAYER = re.compile(r"layers (\d+)-\1")


def sentence(claim: Claim, coalitions: Sequence[tuple[str, ...]]) -> str:
    """A claim in one sentence: `computational against layers-0; reveals length; assumes no side channels`.

    Args:
        coalitions: all those that the same claim is made against.
    """
    word = _BROKEN[claim.property] if not claim.denies else f"{BASES[claim.basis][1]} {_noun(claim)}against"
    parts = [f"{word} {against(coalitions)}"]
    if claim.parameters:
        parts.append(", ".join(f"{key} = {value:g}" for key, value in claim.parameters.items()))
    if claim.reveals:
        parts.append(f"reveals {', '.join(map(_part, claim.reveals))}")
    parts += [why if why.startswith("simulated") else f"assumes {why}" for why in claim.assumes]
    return clean_line("; ".join(parts))


def _part(revealed: str) -> str:
    """What is revealed, in words; a run of one layer is that layer."""
    return _ONE_LAYER.sub(r"layer \1", revealed) if _ONE_LAYER.fullmatch(revealed) else revealed


def _noun(claim: Claim) -> str:
    return "" if claim.property == "confidentiality" else f"{claim.property} "


def against(coalitions: Sequence[tuple[str, ...]]) -> str:
    """Coalitions in words; parties that are named alone and together are `alone or pooled`.

    >>> against([("a-0", "a-1"), ("a-0",), ("a-1",), ("network",)])
    'a-0…1 alone or pooled, network'
    """
    alone = [coalition[0] for coalition in coalitions if len(coalition) == 1]
    parts: list[str] = []
    for coalition in coalitions:
        if len(coalition) > 1:
            both = set(coalition) <= set(alone)
            alone = [name for name in alone if not both or name not in coalition]
            parts.append(f"{names(coalition)} {'alone or pooled' if both else 'pooled'}")
    if alone:
        parts.append(names(alone) + (" each" if len(alone) > 1 else ""))
    return ", ".join(parts)


def lines(guarantee: Iterable[Claim], width: int, mode: str = "real") -> list[Line]:
    """Claims, each kind once: sign, asset, and a sentence with a hanging indent.

    A simulated promise has the sign and the tone of a simulation, whatever it says.
    """
    kinds: dict[str, list[Claim]] = {}
    for claim in guarantee:
        kinds.setdefault(repr(msgspec.structs.replace(claim, against=())), []).append(claim)
    groups = sorted(kinds.values(), key=lambda group: (group[0].asset != "prompt", group[0].asset, group[0].property))
    indent = min(14, max((len(group[0].asset) + 4 for group in groups), default=0))
    out: list[Line] = []
    for group in groups:
        sign, _, tone = BASES[group[0].basis] if mode == "real" else ("≈", "", "poor")
        told = sentence(group[0], [claim.against for claim in group])
        out += hanging((f"{sign} {clean_line(group[0].asset)}", tone), told, "plain", width, indent)
    return out


def sees(guarantee: Iterable[Claim], party: str) -> str:
    """What `party` learns by the claims: what they say is revealed, and apart from it the assets left unprotected.

    An asset without a promise need not reach the party as it is: `activations, length; no promise on prompt`.
    """
    revealed: dict[str, None] = {}
    open_to: dict[str, None] = {}
    named = False
    for claim in guarantee:
        if claim.property == "confidentiality" and {party, party.partition(".")[0]} & set(claim.against):
            named = True
            open_to |= {claim.asset: None} if not claim.denies else {}
            revealed |= dict.fromkeys(map(_part, claim.reveals))
    told = [", ".join(revealed)] if revealed else []
    told += [f"no promise on {', '.join(open_to)}"] if open_to else []
    if told:
        return clean_line("; ".join(told))
    return "nothing, it is claimed" if named else "no claim"
