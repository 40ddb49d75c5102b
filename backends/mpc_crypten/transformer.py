"""The model as a program over CrypTen's tensors: shares of one-hot tokens in, shares of logits out.

It knows nothing of links: `functions` says how roots, exponentials and activations are computed, and what is linear is
written with the operators that CrypTen's tensors and torch's share. So the same program runs in the clear, where ranges
are watched, under our links, and under stock CrypTen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch

from unfed.plugins import UnfedError

from ..common.folded import Folded, Linear
from .activations import ACTIVATIONS

PRECISION = 16
"""Fractional bits, CrypTen's default. More would make its truncation, which errs at random, err too often."""
LARGEST = 2.0**7
"""Weights must be smaller than this, so that float32 holds them exactly at `PRECISION`."""

Tensor = Any
"""An `MPCTensor`, or a torch tensor where the program runs in the clear."""


class Functions(Protocol):
    """What a program needs besides sums, products and layout. `site` numbers the places where ranges differ."""

    def embed(self, onehot: Tensor, table: torch.Tensor) -> Tensor:
        """Rows [t, hidden] of a public table for one-hot tokens [t, vocab]."""
        ...

    def normalise(self, x: Tensor, epsilon: float, site: int) -> Tensor:
        """x over the root of its mean square (plus `epsilon`), row by row."""
        ...

    def softmax(self, scores: Tensor, seen: torch.Tensor) -> Tensor:
        """Softmax over the last dimension, where `seen` is 1; 0 where it is 0."""
        ...

    def activate(self, x: Tensor, name: str) -> Tensor:
        """The activation function of that name."""
        ...

    def cat(self, tensors: list[Tensor], dim: int) -> Tensor: ...


class Cache:
    """Shared keys and values [groups, tokens, width] of each layer, for the life of a session."""

    def __init__(self, known: dict[tuple[str, int], Tensor] | None = None) -> None:
        self._known = known or {}

    def add(self, what: str, layer: int, new: Tensor, functions: Functions) -> Tensor:
        """What is known of `what` in that layer, with what is new of it."""
        known = self._known.get((what, layer))
        self._known[what, layer] = whole = new if known is None else functions.cat([known, new], 1)
        return whole


class _Matrices(NamedTuple):
    queries: Linear
    keys: Linear
    values: Linear
    out: Linear
    up: Linear
    down: Linear


class Transformer:
    """One model under `functions`.

    Raises:
        UnfedError: weights too large for fixed point, or an activation function that is not known.
    """

    def __init__(self, weights: Folded) -> None:
        if weights.activation not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise UnfedError(
                f"the activation {weights.activation!r} is not supported", hint=f"mpc-crypten knows {known}"
            )
        self.weights = weights
        self._table = fixed(weights.table)
        self._positions = None if weights.positions is None else fixed(weights.positions)
        self._layers = [
            _Matrices(
                _fixed(layer.query),
                _fixed(layer.key),
                _fixed(layer.value),
                _fixed(layer.out),
                _fixed(layer.up if layer.gate is None else _side_by_side(layer.gate, layer.up)),
                _fixed(layer.down),
            )
            for layer in weights.layers
        ]
        assert weights.head is not None, "the model is whole"
        self._head = _fixed(weights.head)

    @property
    def limit(self) -> float:
        """No logit of this model is larger: a row of length √hidden meets the columns of the head (Cauchy-Schwarz)."""
        weight, bias = self._head
        largest = weight.norm(dim=0) * self.weights.hidden**0.5
        return float((largest if bias is None else largest + bias.abs()).max())

    def cache(self, tokens: int, make: Callable[[torch.Tensor], Tensor]) -> Cache:
        """One that holds `tokens` tokens of zeros, of which `make` makes the tensors: what lengths alone tell."""
        if not tokens:
            return Cache()
        zeros = torch.zeros(self.weights.groups, tokens, self.weights.width, dtype=torch.int64)
        return Cache({(what, n): make(zeros) for what in ("keys", "values") for n in range(len(self._layers))})

    def step(self, functions: Functions, onehot: Tensor, cache: Cache, start: int) -> Tensor:
        """Run one-hot tokens [t, vocab] that follow `start` others: the last one's logits [vocab]."""
        hidden, tokens = functions.embed(onehot, self._table), onehot.shape[0]
        if self._positions is not None:
            hidden = hidden + self._positions[start : start + tokens]
        for number, layer in enumerate(self._layers):
            normed = functions.normalise(hidden, self.weights.epsilon, 2 * number)
            hidden = hidden + self._attend(functions, layer, number, normed, cache, start)
            if number == len(self._layers) - 1:
                hidden = hidden[-1:]
            normed = functions.normalise(hidden, self.weights.epsilon, 2 * number + 1)
            hidden = hidden + self._feed(functions, layer, normed)
        normed = functions.normalise(hidden[-1:], self.weights.epsilon, 2 * len(self._layers))
        return _apply(self._head, normed)[0]

    def _attend(
        self, functions: Functions, layer: _Matrices, number: int, normed: Tensor, cache: Cache, start: int
    ) -> Tensor:
        groups, width, tokens = self.weights.groups, self.weights.width, normed.shape[0]
        queries, keys, values = (
            _apply(linear, normed).reshape(tokens, -1, width).transpose(0, 1)
            for linear in (layer.queries, layer.keys, layer.values)
        )
        if self.weights.turn is not None:
            turn = [each.float() for each in self.weights.turn(start, tokens)]
            queries, keys = (_turned(functions, each, *turn) for each in (queries, keys))
        queries = queries.reshape(groups, -1, width)  # heads that share keys lie side by side
        keys = cache.add("keys", number, keys, functions)
        values = cache.add("values", number, values, functions)
        scores = queries.matmul(keys.transpose(1, 2))
        seen = torch.ones(tokens, start + tokens, dtype=torch.int64).tril(start)
        shares = functions.softmax(scores, seen.repeat(scores.shape[1] // tokens, 1).expand(*scores.shape))
        attended = shares.matmul(values).reshape(-1, tokens, width).transpose(0, 1).reshape(tokens, -1)
        return _apply(layer.out, attended)

    def _feed(self, functions: Functions, layer: _Matrices, normed: Tensor) -> Tensor:
        up = _apply(layer.up, normed)
        if self.weights.layers[0].gate is None:
            return _apply(layer.down, functions.activate(up, self.weights.activation))
        half = up.shape[-1] // 2
        return _apply(layer.down, functions.activate(up[:, :half], self.weights.activation) * up[:, half:])


def _apply(linear: Linear, x: Tensor) -> Tensor:
    result = x.matmul(linear.weight)
    return result if linear.bias is None else result + linear.bias


def _turned(functions: Functions, x: Tensor, cos: torch.Tensor, sin: torch.Tensor) -> Tensor:
    """Rotary positions, turned into [heads, tokens, width]."""
    half = x.shape[-1] // 2
    return x * cos + functions.cat([-x[..., half:], x[..., :half]], -1) * sin


def _side_by_side(first: Linear, second: Linear) -> Linear:
    biases = [each.bias for each in (first, second) if each.bias is not None]
    return Linear(torch.cat([first.weight, second.weight], 1), torch.cat(biases) if biases else None)


def _fixed(linear: Linear) -> Linear:
    return Linear(fixed(linear.weight), None if linear.bias is None else fixed(linear.bias))


def fixed(value: torch.Tensor) -> torch.Tensor:
    """Rounded to what CrypTen's encoder, which cuts, then takes over exactly: float32.

    Raises:
        UnfedError: a value that does not fit.
    """
    if not bool((value.abs() < LARGEST).all()):
        raise UnfedError(f"the model has weights of {LARGEST:g} or more, or that are not finite: too large for CrypTen")
    return (torch.round(value * 2.0**PRECISION) * 2.0**-PRECISION).float()
