"""A secret value that both nodes hold under a mask: the value plus the mask is public to them, the mask is shared."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

Layout = Callable[[torch.Tensor], torch.Tensor]


class Mask(NamedTuple):
    """One part of a wire's mask.

    Attributes:
        part: at the dealer the mask, at a node its additive share of it.
        factor: what the part is multiplied with, public to the nodes; None for 1. The dealer does not know it.
        lift: every factor is a multiple of 2^lift. Products of parts whose lifts reach 64 vanish.
    """

    part: torch.Tensor
    factor: torch.Tensor | None = None
    lift: int = 0


class Wire(NamedTuple):
    """x = value - Σ factor · mask (mod 2^64).

    `value` is public to both nodes and without content (`blank`) wherever nothing is computed yet.
    Freshly opened wires have one mask, uniform over the ring; what a node sees of x is then independent of x.
    """

    value: torch.Tensor
    masks: tuple[Mask, ...]

    @property
    def shape(self) -> torch.Size:
        return self.value.shape

    @property
    def plain(self) -> bool:
        """Whether the mask is known to the dealer as a whole."""
        return all(mask.factor is None and not mask.lift for mask in self.masks)

    def map(self, layout: Layout) -> Wire:
        """The same layout change (reshape, index, transpose, …) of everything."""
        masks = (
            mask._replace(part=layout(mask.part), factor=None if mask.factor is None else layout(mask.factor))
            for mask in self.masks
        )
        return Wire(layout(self.value), tuple(masks))

    def masked(self) -> torch.Tensor:
        """At a node: its share of Σ factor · mask."""
        parts = [mask.part if mask.factor is None else mask.part * mask.factor for mask in self.masks]
        return sum(parts[1:], parts[0])

    def share(self, party: int) -> torch.Tensor:
        """At a node: its additive share of x."""
        mine = -self.masked()
        return mine if party else mine + self.value


def join(wires: list[Wire], dim: int) -> Wire:
    """Concatenate wires whose masks are of the same kind.

    Raises:
        ValueError: they are not.
    """
    first = wires[0]
    if any(len(wire.masks) != len(first.masks) for wire in wires):
        raise ValueError("wires with different kinds of masks cannot be joined")
    masks = []
    for parts in zip(*(wire.masks for wire in wires), strict=True):
        if len({(part.factor is None, part.lift) for part in parts}) > 1:
            raise ValueError("wires with different kinds of masks cannot be joined")
        factors = [part.factor for part in parts if part.factor is not None]
        masks.append(
            Mask(torch.cat([p.part for p in parts], dim), torch.cat(factors, dim) if factors else None, parts[0].lift)
        )
    return Wire(torch.cat([wire.value for wire in wires], dim), tuple(masks))
