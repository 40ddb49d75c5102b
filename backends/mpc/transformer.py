"""The model as a program of the engine: shares of embeddings in, shares of logits out.

Fifteen rounds a layer: the sum of squares, its root, the normalised values, queries keys and values, scores (with the
values, cut), exponentials, the same cut (with their sum's inverse), the weighed values, the residual stream; then
likewise to the residual stream again. Keys and values stay open under the masks they were first opened under.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from unfed.plugins import UnfedError

from . import scales
from .engine.gates import MatMul, Outside, Product, Spline, SquareSum, Table, Truncate
from .engine.gates.spline import Pieces, relative
from .engine.gates.table import Bins, bins
from .engine.session import Run
from .engine.wire import Wire, join
from .scales import Ranges
from .weights import Layer, Linear, Weights

PIECES = 24
"""Pieces of a normaliser's root and of softmax's inverse per doubling."""
EXP_BINS, GATE_BINS = 10, 10
DROPPED_BY_GUARD = 46


class Cache:
    """Keys [groups, tokens, width] and values of each layer, opened under their masks, for the life of a session."""

    def __init__(self) -> None:
        self._known: dict[str, Wire] = {}

    def add(self, name: str, new: Wire) -> Wire:
        """What is known of `name`, with what is new of it [groups, tokens, width]."""
        known = self._known.get(name)
        self._known[name] = whole = new if known is None else join([known, new], 1)
        return whole


class Approximations(NamedTuple):
    """Public tables for one model: of roots, one per normaliser; exponentials; their sum's inverse; the activation."""

    roots: tuple[Pieces, ...]
    exp: Bins
    inverse: Pieces
    activation: Bins


def approximate(weights: Weights, ranges: Ranges) -> Approximations:
    """Tables that hold within `ranges`.

    Raises:
        ValueError: a range is too wide.
        UnfedError: an activation function that there is no table of.
    """
    if (activation := ACTIVATIONS.get(weights.activation)) is None:
        known = ", ".join(ACTIVATIONS)
        raise UnfedError(f"the activation {weights.activation!r} is not supported", hint=f"mpc knows {known}")
    square = 2.0 ** (2 * scales.RESIDUAL) * weights.hidden
    roots = tuple(
        relative(partial(_root, square, weights.epsilon), int(low * square), int(high * square), PIECES)
        for low, high in ranges.squares
    )
    low, high = (int(bound * 2.0**scales.EXP) for bound in ranges.total)
    inverse = relative(lambda total: 2.0**scales.EXP / total, low, high, PIECES, kept=12)
    reach = max(abs(bound) for bound in ranges.score)
    score_bits = scales.SCORE + 1 + int(np.ceil(np.log2(reach)))
    gate_bits = scales.ACTIVATION + 1 + int(np.ceil(np.log2(ranges.gate)))
    return Approximations(
        roots,
        bins(np.exp, scales.SCORE, score_bits, EXP_BINS, scales.EXP),
        inverse,
        bins(activation, scales.ACTIVATION, gate_bits, GATE_BINS, 2 * scales.GATE),
    )


def _root(square: float, epsilon: float, total: np.ndarray) -> np.ndarray:
    return np.asarray((total / square + epsilon) ** -0.5)


def _erf(x: np.ndarray) -> np.ndarray:
    return torch.erf(torch.from_numpy(np.asarray(x))).numpy()


ACTIVATIONS = {
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: x * 0.5 * (1 + _erf(x / np.sqrt(2))),
    "gelu_new": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
}


class Transformer:
    """One model under the protocol. Raises ValueError where a range is too wide for its tables."""

    def __init__(self, weights: Weights, ranges: Ranges) -> None:
        self.weights, self.ranges = weights, ranges
        self.tables = approximate(weights, ranges)

    def step(self, run: Run, embedded: torch.Tensor, cache: Cache, start: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Run tokens [t, hidden] that follow `start` others.

        Returns shares of the last one's logits [vocab], at scale LOGIT, and of how many guards fell.
        """
        weights, guards = self.weights, Guards()
        if weights.positions is not None:
            embedded = embedded + run.public(weights.positions[start : start + embedded.shape[0]])
        (residual,) = run.open(embedded)
        for number in range(len(weights.layers)):
            last = number == len(weights.layers) - 1
            residual = self.layer(run, residual, number, cache, start, guards, last_only=last)
        normed = self._norm(run, residual, -1, guards)
        return _apply(run, weights.head, normed)[0], guards.total

    def layer(
        self,
        run: Run,
        residual: Wire,
        number: int,
        cache: Cache,
        start: int,
        guards: Guards,
        *,
        last_only: bool = False,
    ) -> Wire:
        """One layer on the residual stream [t, hidden], at scale RESIDUAL; `last_only` leaves the last token's row."""
        layer = self.weights.layers[number]
        normed = self._norm(run, residual, 2 * number, guards)
        attended = self._attention(run, layer, number, normed, cache, start, guards)
        residual = self._add(run, residual, attended, scales.ATTENDED + scales.OUT)
        normed = self._norm(run, residual, 2 * number + 1, guards)
        fed = self._feed(run, layer, normed, guards)
        given = 2 * scales.GATE if self.weights.gated else scales.GATE
        return self._add(run, residual, fed, given + scales.DOWN, last_only)

    def _add(self, run: Run, residual: Wire, share: torch.Tensor, scale: int, last_only: bool = False) -> Wire:
        """The residual stream and what is added to it, opened as one sum and cut to its scale."""
        bits = scale - scales.RESIDUAL
        total = (run.share(residual) << bits) + share
        (wire,) = run.open(total[-1:] if last_only else total)
        cut: Wire = run.apply(Truncate(bits), wire)
        return cut

    def _norm(self, run: Run, x: Wire, number: int, guards: Guards) -> torch.Tensor:
        """Shares of x over the root of its mean square, at scale NORMED. Three rounds."""
        pieces = self.tables.roots[number]
        (squares,) = run.open(run.apply(SquareSum(), x))
        root, outside = run.apply(Spline(pieces), squares)
        guards.add(outside)
        (root,) = run.open(root)
        product = run.apply(Product(), x, run.apply(Truncate(pieces.scale - scales.ROOT), root))
        (product,) = run.open(product)
        return run.share(run.apply(Truncate(scales.RESIDUAL + scales.ROOT - scales.NORMED), product))

    def _attention(
        self, run: Run, layer: Layer, number: int, normed: torch.Tensor, cache: Cache, start: int, guards: Guards
    ) -> torch.Tensor:
        """Shares of what attention adds, at scale ATTENDED + OUT. Five rounds."""
        weights, tokens = self.weights, normed.shape[0]
        heads, groups, width = weights.heads, weights.groups, weights.width
        joined = _apply(run, run.ahead(partial(layer.attention, start, tokens)), normed)
        queries, keys, values = torch.split(joined, [heads * width, groups * width, groups * width], -1)
        queries = queries.reshape(tokens, groups, heads // groups, width).permute(1, 2, 0, 3)
        queries = queries.reshape(groups, heads // groups * tokens, width)
        keys, values = (each.reshape(tokens, groups, width).transpose(0, 1) for each in (keys, values))
        asked, new_keys, fine = run.open(queries, keys, values)
        coarse = run.share(run.apply(Truncate(scales.ACTIVATION - scales.VALUE), fine))
        known = cache.add(f"keys {number}", new_keys)
        scores = run.apply(MatMul(), asked, known.map(_turned))
        scores, new_values = run.open(scores, coarse)
        known_values = cache.add(f"values {number}", new_values)
        low, high = (int(bound * 2.0**scales.SCORE) for bound in self.ranges.score)
        seen = _causal(tokens, start, heads // groups).to(normed.device)
        guards.add(run.apply(Outside(low, high, DROPPED_BY_GUARD), scores) * seen)
        powers = run.apply(Table(self.tables.exp), scores) * seen
        fine_powers, totals = run.open(powers, powers.sum(-1, keepdim=True))
        inverse, outside = run.apply(Spline(self.tables.inverse), totals)
        guards.add(outside)
        cut = run.share(run.apply(Truncate(scales.EXP - scales.WEIGHED), fine_powers))
        weigh, inverse = run.open(cut, inverse)
        inverse = run.apply(Truncate(self.tables.inverse.scale - scales.SHARE), inverse)
        (weighed,) = run.open(run.apply(MatMul(), weigh, known_values))
        weighed = run.apply(Truncate(scales.VALUE), weighed)
        attended = run.apply(Product(), weighed, inverse)
        attended = attended.reshape(groups, heads // groups, tokens, width).permute(2, 0, 1, 3).reshape(tokens, -1)
        return _apply(run, layer.out, attended)

    def _feed(self, run: Run, layer: Layer, normed: torch.Tensor, guards: Guards) -> torch.Tensor:
        """Shares of what the second half adds. Two rounds."""
        up = _apply(run, layer.up, normed)
        (wire,) = run.open(up)
        limit = int(self.ranges.gate * 2.0**scales.ACTIVATION)
        if not self.weights.gated:
            activated = self._activate(run, wire, limit, guards)
            return _apply(run, layer.down, run.share(activated))
        half = up.shape[-1] // 2
        gate, other = wire.map(lambda each: each[..., :half]), wire.map(lambda each: each[..., half:])
        activated = self._activate(run, gate, limit, guards)
        cut = run.apply(Truncate(scales.ACTIVATION - scales.GATE), other)
        return _apply(run, layer.down, run.apply(Product(), activated, cut))

    def _activate(self, run: Run, gate: Wire, limit: int, guards: Guards) -> Wire:
        guards.add(run.apply(Outside(-limit, limit - (limit >> 8), scales.ACTIVATION - 8), gate))
        (activated,) = run.open(run.apply(Table(self.tables.activation), gate))
        cut: Wire = run.apply(Truncate(scales.GATE), activated)
        return cut


class Guards:
    """Adds up shares of guards, of whatever shapes."""

    def __init__(self) -> None:
        self._sums: list[torch.Tensor] = []

    def add(self, fallen: torch.Tensor) -> None:
        self._sums.append(fallen.sum())

    @property
    def total(self) -> torch.Tensor:
        return torch.stack(self._sums).sum()


def _apply(run: Run, linear: Linear, share: torch.Tensor) -> torch.Tensor:
    """share [t, in] through a matrix, one for all tokens or one for each."""
    weight = linear.weight.to(share.device)
    result = share @ weight if weight.dim() == 2 else (share[:, None] @ weight)[:, 0]
    return result if linear.bias is None else result + run.public(linear.bias.expand(result.shape))


def _turned(each: torch.Tensor) -> torch.Tensor:
    return each.transpose(-1, -2)


def _causal(tokens: int, start: int, heads: int) -> torch.Tensor:
    """1 where a token may see another, as [heads · tokens, start + tokens]."""
    places = torch.arange(start + tokens)
    return (places[None] <= torch.arange(start, start + tokens)[:, None]).long().repeat(heads, 1)
