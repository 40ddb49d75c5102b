"""Within which a model's numbers lie, watched while the same program runs in the clear on random tokens."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import torch

from unfed.plugins import UnfedError

from .activations import ACTIVATIONS
from .transformer import Cache, Transformer

SEQUENCES, TOKENS = 8, 48


class Ranges(NamedTuple):
    """Attributes:
    squares: least and largest mean square that went into each norm.
    score: how far a score lay below the largest of its row.
    gate: largest magnitude of what a sigmoid was taken of.
    """

    squares: tuple[tuple[float, float], ...]
    score: float
    gate: float

    def travelling(self) -> list[Any]:
        """As fields of a message."""
        return [[list(pair) for pair in self.squares], self.score, self.gate]

    @classmethod
    def travelled(cls, fields: Any) -> Ranges:
        """From what `travelling` made.

        Raises:
            UnfedError: (`protocol`) it is something else.
        """
        try:
            found = msgspec.convert(fields, tuple[list[tuple[float, float]], float, float])
        except msgspec.ValidationError:
            raise UnfedError("what came are no ranges", kind="protocol") from None
        return cls(tuple(found[0]), found[1], found[2])


def watch(transformer: Transformer, vocab: int, context: int, seed: int = 0) -> Ranges:
    """The ranges of a model. Nobody's prompt takes part.

    Args:
        seed: of the random tokens, which are no secret.
    """
    watching, generator = Watching(), torch.Generator().manual_seed(seed)
    tokens = min(TOKENS, context or TOKENS)
    with torch.inference_mode():
        for _ in range(SEQUENCES):
            ids = torch.randint(0, vocab, (tokens,), generator=generator)
            transformer.step(watching, torch.nn.functional.one_hot(ids, vocab), Cache(), 0)
    return watching.ranges


class Watching:
    """`Functions` in the clear, exact, that note what passes through them."""

    def __init__(self) -> None:
        self._squares: dict[int, tuple[float, float]] = {}
        self._score = self._gate = 0.0

    @property
    def ranges(self) -> Ranges:
        return Ranges(tuple(self._squares[site] for site in sorted(self._squares)), self._score, self._gate)

    def embed(self, onehot: Any, table: torch.Tensor) -> Any:
        return onehot.float() @ table

    def normalise(self, x: Any, epsilon: float, site: int) -> Any:
        squares = x.square().mean(-1, keepdim=True) + epsilon
        low, high = self._squares.get(site, (float("inf"), 0.0))
        self._squares[site] = min(low, float(squares.min())), max(high, float(squares.max()))
        return x * squares.rsqrt()

    def softmax(self, scores: Any, seen: torch.Tensor) -> Any:
        masked = scores.masked_fill(seen == 0, -torch.inf)
        below = (masked.amax(-1, keepdim=True) - scores)[seen != 0]
        self._score = max(self._score, float(below.max()))
        return masked.softmax(-1)

    def activate(self, x: Any, name: str) -> Any:
        found = ACTIVATIONS[name]
        argument = x.abs() * (found.linear + found.cubic * x.square())
        self._gate = max(self._gate, float(argument.max()))
        return found.exact(x)

    def cat(self, tensors: list[Any], dim: int) -> Any:
        return torch.cat(tensors, dim)
