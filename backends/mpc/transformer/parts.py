"""In which steps a session is prepared and run, so that what is prepared fits into memory."""

from __future__ import annotations

from unfed.plugins import ModelCard

MEMORY = 384 << 20
"""Bytes that expanded tables may take at a node: of one part, or of one session that is prepared ahead."""
FEW, MOST = 8, 32
"""Tokens of an answer, after its first, that are prepared ahead of a query: in eights, and so many at most."""
GATE, SCORE = 128 * 4 * 8, 512 * 3 * 8
"""Bytes of one expanded table: of an activation function, of an exponential (bins · coefficients · 8)."""


def memory(card: ModelCard, start: int, tokens: int) -> int:
    """Bytes of the expanded tables of a step of `tokens` after `start` others."""
    config = card.config
    heads = int(config.get("num_attention_heads") or config["n_head"])
    inner = int(config.get("intermediate_size") or config.get("n_inner") or 4 * card.hidden)
    return tokens * card.layers * (inner * GATE + heads * (start + tokens) * SCORE)


def parts(card: ModelCard, tokens: int) -> list[int]:
    """Sizes of the parts of a prompt: as few as there may be, at least a token each."""
    found: list[int] = []
    while (start := sum(found)) < tokens:
        size = tokens - start
        while size > 1 and memory(card, start, size) > MEMORY:
            size -= 1
        found.append(size)
    return found


def padded_size(tokens: int) -> int:
    """The rows that a prompt is padded to where it is prepared ahead: 8, 12, 16, 24, 32, 48, …"""
    power = 1 << max(3, (tokens - 1).bit_length())
    between = power * 3 // 4
    return between if between > 8 and tokens <= between else power


def steps_ahead(card: ModelCard, size: int, answer: int, context: int) -> list[int]:
    """Rows of each step that is prepared ahead: the prompt's, and single tokens while there is room for them, about as
    many as the last `answer` had."""
    tokens = min(MOST, -(-max(1, answer) // FEW) * FEW)
    left, steps = MEMORY - memory(card, 0, size), [size]
    for start in range(size, min(size + tokens, context)):
        left -= memory(card, start, 1)
        if left < 0:
            break
        steps.append(1)
    return steps
