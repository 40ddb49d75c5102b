"""How a prompt is run in parts, so that what is prepared for one of them fits into memory."""

from __future__ import annotations

from unfed.plugins import ModelCard

MEMORY = 384 << 20
"""Bytes that the expanded tables of one part may take at a node."""
GATE, SCORE = 128 * 4 * 8, 512 * 3 * 8
"""Bytes of one expanded table: of an activation function, of an exponential (bins · coefficients · 8)."""


def parts(card: ModelCard, tokens: int) -> list[int]:
    """Sizes of the parts of a prompt: as few as there may be, at least a token each."""
    config = card.config
    heads = int(config.get("num_attention_heads") or config["n_head"])
    inner = int(config.get("intermediate_size") or config.get("n_inner") or 4 * card.hidden)
    found: list[int] = []
    while (start := sum(found)) < tokens:
        size = tokens - start
        while size > 1 and size * card.layers * (inner * GATE + heads * (start + size) * SCORE) > MEMORY:
            size -= 1
        found.append(size)
    return found
