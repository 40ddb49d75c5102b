"""What a backend promises: claims, each against one pooled coalition of adversaries."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import Literal

import msgspec

Property = Literal["confidentiality", "integrity", "anonymity"]
Basis = Literal["none", "obfuscation", "statistical", "computational", "information-theoretic", "hardware"]

OUTSIDERS = ("network", "reader")
"""Adversaries that are no party: who taps the links, and who reads the answer."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One sentence of a guarantee: `property` of `asset` holds against `against` pooled together, on `basis`.

    Attributes:
        asset: `prompt`, `output`, `weights`, `identity`, or one that the backend adds.
        against: names of parties (or `network`, `reader`) that pool what they have: one coalition.
        basis: why it should hold; `none` says plainly that it does not.
        parameters: numbers that belong to the claim, such as epsilon, delta or bits.
        assumes: what must be true besides, in words. A simulated backend gives its reason here.
        reveals: what the coalition does learn, such as `activations` or `length`.
    """

    asset: str
    property: Property
    against: tuple[str, ...]
    basis: Basis
    parameters: dict[str, float] = {}
    assumes: tuple[str, ...] = ()
    reveals: tuple[str, ...] = ()

    @builtins.property
    def denies(self) -> bool:
        """Whether the claim keeps the asset from the coalition at all."""
        return self.basis != "none"


def badge(guarantee: Iterable[Claim]) -> str:
    """The shortest honest summary, for a column's head: the weakest basis on which the prompt is kept from a party."""
    ranks = ("none", "obfuscation", "statistical", "computational", "information-theoretic", "hardware")
    bases = [
        claim.basis
        for claim in guarantee
        if claim.asset == "prompt" and claim.property == "confidentiality" and set(claim.against) - set(OUTSIDERS)
    ]
    if not bases:
        return "prompt: no claim"
    weakest = min(bases, key=ranks.index)
    return "prompt: exposed" if weakest == "none" else f"prompt: {weakest}"
