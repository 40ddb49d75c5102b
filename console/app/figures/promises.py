"""Claims in words, and what each party comes to see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from unfed.plugins import Claim

from .badges import BASES
from .text import Line, clean_line, hanging, names

_BROKEN = {"confidentiality": "exposed to", "integrity": "unprotected against", "anonymity": "known to"}


def sentence(claim: Claim) -> str:
    """A claim in one sentence: `computational against layers-0; learns length; assumes no side channels`."""
    word = _BROKEN[claim.property] if not claim.denies else f"{BASES[claim.basis][1]} {_noun(claim)}against"
    parts = [f"{word} {_pooled(claim.against)}"]
    if claim.parameters:
        parts.append(", ".join(f"{key} = {value:g}" for key, value in claim.parameters.items()))
    if claim.reveals:
        parts.append(f"reveals {', '.join(claim.reveals)}")
    parts += [why if why.startswith("simulated") else f"assumes {why}" for why in claim.assumes]
    return clean_line("; ".join(parts))


def _noun(claim: Claim) -> str:
    return "" if claim.property == "confidentiality" else f"{claim.property} "


def _pooled(against: Sequence[str]) -> str:
    return names(against) if len(against) < 2 else f"{names(against)} pooled"


def lines(guarantee: Iterable[Claim], width: int, mode: str = "real") -> list[Line]:
    """Each claim on lines of its own: sign, asset, and the sentence with a hanging indent.

    A simulated promise has the sign and the tone of a simulation, whatever it says.
    """
    claims = sorted(guarantee, key=lambda claim: (claim.asset != "prompt", claim.asset, claim.property))
    indent = min(14, max((len(claim.asset) + 4 for claim in claims), default=0))
    out: list[Line] = []
    for claim in claims:
        sign, _, tone = BASES[claim.basis] if mode == "real" else ("≈", "", "poor")
        out += hanging((f"{sign} {clean_line(claim.asset)}", tone), sentence(claim), "plain", width, indent)
    return out


def sees(guarantee: Iterable[Claim], party: str) -> str:
    """What `party` learns by the claims: assets it is not kept from, and what else the claims say is revealed."""
    learned: dict[str, None] = {}
    named = False
    for claim in guarantee:
        if claim.property == "confidentiality" and {party, party.partition(".")[0]} & set(claim.against):
            named = True
            learned |= {claim.asset: None} if not claim.denies else {}
            learned |= dict.fromkeys(claim.reveals)
    if learned:
        return clean_line(", ".join(learned))
    return "nothing, it is claimed" if named else "no claim"
