"""A model's embedding and first layers as a `transformers` model of their own."""

from __future__ import annotations

from typing import Any

from unfed.plugins import Model

from .ends import Embedding
from .families import family_of
from .shard import shard


def beginning(model: Model, layers: int) -> Any:
    """Token ids in, what the first `layers` layers leave of them out. It has no last norm and no head.

    Raises:
        UnfedError: as `shard` does.
    """
    family, embedding = family_of(model.card), Embedding(model)
    base = shard(model, 0, layers - 1).base
    setattr(base, family.embedding, embedding.tokens)
    if family.positions:
        setattr(base, family.positions, embedding.positions)
    return base
