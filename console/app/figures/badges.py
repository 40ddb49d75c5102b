"""The guarantee in a badge: an honest word, a sign that needs no colour, and a tone."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from unfed.plugins import Claim
from unfed.plugins.guarantee import OUTSIDERS, Basis

from .text import Tone, names

BASES: dict[Basis, tuple[str, str, Tone]] = {
    # basis: (sign, word, tone), from no protection to the strongest
    "none": ("○", "exposed", "bad"),
    "obfuscation": ("◔", "obfuscated", "poor"),
    "statistical": ("◑", "statistical", "fair"),
    "computational": ("◕", "computational", "good"),
    "information-theoretic": ("●", "information-theoretic", "good"),
    "hardware": ("◆", "hardware", "fair"),
}
_ORDER = list(BASES)


class Badge(msgspec.Struct, frozen=True):
    """`words` say it all; `who` names the coalition that the weakest claim is about."""

    sign: str
    words: str
    tone: Tone
    who: str = ""

    @property
    def text(self) -> str:
        return f"{self.sign} {self.words}"


def badge(guarantee: Iterable[Claim], mode: str = "real") -> Badge:
    """How well the prompt is kept from parties: the weakest claim decides, as in `unfed.plugins.badge`.

    A simulated backend gets the badge of what it *would* promise, with the word and the tone of a simulation.
    """
    claims = [
        claim
        for claim in guarantee
        if claim.asset == "prompt" and claim.property == "confidentiality" and set(claim.against) - set(OUTSIDERS)
    ]
    if not claims:
        return _marked(Badge("?", "prompt: no claim", "bad"), mode)
    weakest = min(_ORDER.index(claim.basis) for claim in claims)
    basis = _ORDER[weakest]
    sign, word, tone = BASES[basis]
    decisive = [claim for claim in claims if claim.basis == basis]
    who = names(dict.fromkeys(name for claim in decisive for name in claim.against if name not in OUTSIDERS))
    numbers = "".join(f", {key} {value:g}" for claim in decisive for key, value in claim.parameters.items())
    words = f"prompt exposed to {who}" if basis == "none" else f"prompt: {word}{numbers}"
    return _marked(Badge(sign, words, tone, who), mode)


def _marked(real: Badge, mode: str) -> Badge:
    """A simulated promise has a sign, a word and a tone of its own."""
    return real if mode == "real" else Badge("≈", f"{real.words}, simulated", "poor", real.who)


def reason_simulated(guarantee: Iterable[Claim]) -> str:
    """Why a simulated backend is simulated, from the assumptions of its claims."""
    for claim in guarantee:
        for why in claim.assumes:
            if "simulated" in why:
                return why
    return "simulated"
