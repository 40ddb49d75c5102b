"""Runs a program once on nothing, so that the first query does not wait for kernels to be compiled or loaded."""

from __future__ import annotations

from ..engine.blank import blank
from ..engine.embedding import keys
from ..engine.material import Deal, Draw
from ..engine.session import Computing, Dealing, Preparing
from .program import Cache, Transformer


def warm(transformer: Transformer, party: int | None = None) -> None:
    """At a node with material of its own making, which is of no use afterwards; at the dealer only the making of it."""
    deal, extent = Deal(), transformer.weights.embedding.extent
    transformer.step(Dealing(deal), blank(1, extent), Cache(), 0)
    if party is None:
        return
    preparing = Preparing(Draw(party, *deal.parts()[party]))
    transformer.step(preparing, blank(1, extent), Cache(), 0)
    computing = Computing(party, preparing.made, lambda mine: mine)
    embedding = transformer.weights.embedding
    transformer.step(computing, embedding.given(party, keys([0], embedding.vocab)[party]), Cache(), 0)
