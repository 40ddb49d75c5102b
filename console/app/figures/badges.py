"""The guarantee in a badge: an honest word, a sign that needs no colour, and a tone."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

import msgspec

from unfed.plugins import Claim
from unfed.plugins.guarantee import OUTSIDERS, Basis, kept

from .text import Line, Tone, clean_line, names

BASES: dict[Basis, tuple[str, str, Tone]] = {
    # basis: (sign, word, tone), from no protection to the strongest
    "none": ("○", "exposed", "bad"),
    "obfuscation": ("◔", "obfuscated", "poor"),
    "statistical": ("◑", "statistical", "fair"),
    "computational": ("◕", "computational", "good"),
    "information-theoretic": ("●", "information-theoretic", "good"),
    "hardware": ("◆", "hardware", "fair"),
}


class Badge(msgspec.Struct, frozen=True):
    """`words` say it all; `who` names whom the weakest claim is about."""

    sign: str
    words: str
    tone: Tone
    who: str = ""

    @property
    def text(self) -> str:
        return f"{self.sign} {self.words}"

    def lines(self, width: int) -> list[Line]:
        """`text` in as many lines as it takes: what is left off could be what matters."""
        return [((row, self.tone),) for row in textwrap.wrap(clean_line(self.text), max(8, width))]


def badge(guarantee: Iterable[Claim], mode: str = "real") -> Badge:
    """How well the prompt is kept from parties, as in `unfed.plugins.badge`: the weakest claim against any one of them
    decides, and pooling is named where it makes that worse.

    A simulated backend gets the badge of what it *would* promise, with the word and the tone of a simulation.
    """
    claims = [each for each in guarantee if each.asset == "prompt" and each.property == "confidentiality"]
    alone, pooled = kept(claims)
    basis = alone or pooled
    if basis is None:
        return _marked(Badge("?", "prompt: no claim", "bad"), mode)
    sign, word, tone = BASES[basis]
    against = [[name for name in claim.against if name not in OUTSIDERS] for claim in claims]
    decisive = [
        (claim, who)
        for claim, who in zip(claims, against, strict=True)
        if claim.basis == basis and who and (alone is None or len(who) == 1)
    ]
    who = names(dict.fromkeys(name for _, each in decisive for name in each))
    numbers = "".join(f", {key} {value:g}" for claim, _ in decisive for key, value in claim.parameters.items())
    if basis == "none":
        return _marked(Badge(sign, f"prompt exposed to {who}", tone, who), mode)
    unless = ""
    if alone and pooled:
        unless = ", unless parties pool" if pooled == "none" else f", pooled: {BASES[pooled][1]}"
        tone = "fair" if tone == "good" else tone
    return _marked(Badge(sign, f"prompt: {word}{numbers}{unless}", tone, who), mode)


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
