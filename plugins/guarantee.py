"""What a backend promises: claims, each against one pooled coalition of adversaries."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import Literal, NamedTuple, get_args

import msgspec

Property = Literal["confidentiality", "integrity", "anonymity"]
Basis = Literal["none", "obfuscation", "statistical", "computational", "information-theoretic", "hardware"]

BASES: tuple[Basis, ...] = get_args(Basis)
"""From no protection to the strongest."""

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


class Kept(NamedTuple):
    """The weakest basis on which something is kept from any one party, and from parties that pool what they have.

    None stands where there is no such claim. A pooled coalition that does no better than one of its parties adds
    nothing, so `pooled` is then None too.
    """

    alone: Basis | None
    pooled: Basis | None


def kept(guarantee: Iterable[Claim], asset: str = "prompt") -> Kept:
    """How well `asset` is kept from the parties of a plan; outsiders are not counted."""
    alone: list[Basis] = []
    pooled: list[Basis] = []
    for claim in guarantee:
        parties = len(set(claim.against) - set(OUTSIDERS))
        if claim.asset == asset and claim.property == "confidentiality" and parties:
            (alone if parties == 1 else pooled).append(claim.basis)
    least = min(alone, key=BASES.index, default=None)
    least_pooled = min(pooled, key=BASES.index, default=None)
    if least is not None and least_pooled is not None and BASES.index(least_pooled) >= BASES.index(least):
        least_pooled = None
    return Kept(least, least_pooled)


def badge(guarantee: Iterable[Claim]) -> str:
    """The shortest honest summary, for a column's head: how well the prompt is kept from each party by itself, and
    whether that ends where parties pool what they have."""
    alone, pooled = kept(guarantee)
    if alone is None:
        alone, pooled = pooled, None
    if alone is None:
        return "prompt: no claim"
    if alone == "none":
        return "prompt: exposed"
    unless = {None: "", "none": ", unless parties pool"}.get(pooled, f", pooled: {pooled}")
    return f"prompt: {alone}{unless}"
