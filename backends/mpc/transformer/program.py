"""The model, or its first layers, as a program of the engine: shares of embeddings in, shares of logits out.

Sixteen rounds a layer: the sum of squares, its root, the normalised values, queries keys and values, scores (with the
values, cut), exponentials with their sum, its inverse, their product, the same cut, the residual stream; then likewise
to the residual stream again. Secret weights take three more (see `shared`). Keys and values stay open under the masks
they were first opened under.
"""

from __future__ import annotations

import math

import torch

from unfed.plugins import UnfedError

from ..engine.gates import AtLeast, MatMul, Outside, Product, Relu, Spline, SquareSum, Table, Truncate, Width
from ..engine.session import Run
from ..engine.tournament import largest
from ..engine.wire import Wire, join
from .approximations import approximate
from .scales import Format
from .weights import Layer, Weights

COARSE_BITS = -2
COARSE = 2.0**COARSE_BITS
"""How far off scores may be where they are compared: no two softmaxes differ by what is taken off."""


class Cache:
    """Keys [groups, tokens, width] and values of each layer, opened under their masks, for the life of a session."""

    def __init__(self) -> None:
        self._known: dict[str, Wire] = {}

    def add(self, name: str, new: Wire) -> Wire:
        """What is known of `name`, with what is new of it [groups, tokens, width]."""
        known = self._known.get(name)
        self._known[name] = whole = new if known is None else join([known, new], 1)
        return whole


class Transformer:
    """One model under the protocol. Raises UnfedError where there are no tables for its numbers."""

    def __init__(self, weights: Weights, format: Format) -> None:
        self.weights = weights
        self.ranges, self.scales, self.reach = format
        self.tables = approximate(weights, format)

    def step(
        self, run: Run, given: torch.Tensor, cache: Cache, start: int, pad: int = 0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run tokens, given as the embedding takes them [t, extent], that follow `start` other rows.

        The first `pad` rows of a session stand for no token: a step that begins with them makes them itself, as copies
        of the first token's. Each sees itself alone and no token sees it, so they go through what the first token does
        and change nothing. Only a run that computes has to know of them: what is made for it depends on rows.

        Returns shares of the last one's logits [vocab], at scale `scales.logit` (without a head: of what the last layer
        leaves of each row [t, hidden], at scale `scales.residual`), and of how many guards fell.
        """
        weights, scales, guards = self.weights, self.scales, Guards()
        # Rows are shared over Z_2^32 at least: times 2^32 over Z_2^64, and cutting that off again is exact.
        rows = weights.embedding(run, given, max(start - pad, 0), 0 if start else pad)
        (opened,) = run.open(rows << 32)
        residual: Wire = run.apply(Truncate(32), opened)
        for number in range(len(weights.layers)):
            last = number == len(weights.layers) - 1 and weights.head is not None
            residual = self.layer(run, residual, number, cache, start, guards, pad, last_only=last)
        if weights.head is None:
            return run.share(residual), guards.total
        normed = self._norm(run, residual, -1, guards, scales.normed)
        return weights.head.of_wire(run, normed)[0], guards.total

    def layer(
        self,
        run: Run,
        residual: Wire,
        number: int,
        cache: Cache,
        start: int,
        guards: Guards,
        pad: int = 0,
        *,
        last_only: bool = False,
    ) -> Wire:
        """One layer on the residual stream [t, hidden]; `last_only` leaves the last token's row of what comes out."""
        layer, scales = self.weights.layers[number], self.scales
        normed = self._norm(run, residual, 2 * number, guards, scales.attending)
        seen = _seen(normed.shape[0], start, self.weights.heads // self.weights.groups, pad)
        attended = self._attention(run, layer, number, normed, cache, start, guards, seen)
        residual = self._add(run, residual, attended, scales.attended + scales.out)
        normed = self._norm(run, residual, 2 * number + 1, guards, scales.normed)
        fed = self._feed(run, layer, normed)
        given = 2 * scales.gate if self.weights.gated else scales.gate
        return self._add(run, residual, fed, given + scales.down, last_only)

    def _add(self, run: Run, residual: Wire, share: torch.Tensor, scale: int, last_only: bool = False) -> Wire:
        """The residual stream and what is added to it, opened as one sum and cut to its scale."""
        bits = scale - self.scales.residual
        total = (run.share(residual) << bits) + share
        (wire,) = run.open(total[-1:] if last_only else total)
        cut: Wire = run.apply(Truncate(bits), wire)
        return cut

    def _norm(self, run: Run, x: Wire, number: int, guards: Guards, scale: int) -> Wire:
        """x over the root of its mean square, at `scale`. Three rounds."""
        pieces, scales = self.tables.roots[number], self.scales
        (squares,) = run.open(run.apply(SquareSum(), x))
        root, outside = run.apply(Spline(pieces), squares)
        guards.add(outside)
        (root,) = run.open(root)
        product = run.apply(Product(), x, run.apply(Truncate(pieces.scale - scales.root), root))
        (product,) = run.open(product)
        return _cut(run, product, scales.residual + scales.root - scale)

    def _attention(
        self,
        run: Run,
        layer: Layer,
        number: int,
        normed: Wire,
        cache: Cache,
        start: int,
        guards: Guards,
        seen: torch.Tensor,
    ) -> torch.Tensor:
        """Shares of what attention adds, at scale attended + out. Six rounds, and more where scores spread widely."""
        weights, scales, tokens = self.weights, self.scales, normed.shape[0]
        heads, groups, width = weights.heads, weights.groups, weights.width
        queries, keys = torch.split(layer.paired(run, normed, start), [heads * width, groups * width], -1)
        queries = queries.reshape(tokens, groups, heads // groups, width).permute(1, 2, 0, 3)
        queries = queries.reshape(groups, heads // groups * tokens, width)
        keys, values = (
            each.reshape(tokens, groups, width).transpose(0, 1) for each in (keys, layer.values.of_wire(run, normed))
        )
        asked, new_keys, fine_values = run.open(queries, keys, values)
        coarse = run.share(run.apply(Truncate(scales.attending + scales.weight - scales.value), fine_values))
        known = cache.add(f"keys {number}", new_keys)
        scores = run.apply(MatMul(), asked, known.map(_turned))
        shifted, new_values = run.open(self._shifted(run, scores, seen, start), coarse)
        known_values = cache.add(f"values {number}", new_values)
        if not (self.ranges.maximum and self.ranges.cut):
            guards.add(run.apply(self._bounds, shifted) * seen)
        powers = run.apply(Table(self.tables.exp), shifted) * seen
        fine, totals = run.open(powers, powers.sum(-1, keepdim=True))
        inverse, outside = run.apply(Spline(self.tables.inverse), totals)
        guards.add(outside)
        cut = run.apply(Truncate(scales.exp - scales.weighed), fine)
        inverse, coarse_totals = run.open(inverse, run.share(cut).sum(-1, keepdim=True))
        guards.add(run.apply(self._no_wrap, coarse_totals))
        inverse = run.apply(Truncate(self.tables.inverse.scale - scales.inverse), inverse)
        (shares,) = run.open(run.apply(Product(), cut, inverse))
        (shares,) = run.open(run.share(run.apply(Truncate(scales.weighed + scales.inverse - scales.share), shares)))
        attended = run.apply(MatMul(), shares, known_values)
        attended = attended.reshape(groups, heads // groups, tokens, width).permute(2, 0, 1, 3).reshape(tokens, -1)
        return layer.out.of_share(run, attended)

    @property
    def _bounds(self) -> Outside:
        """The guard on what goes into the exponential."""
        low, high = (int((bound - self.tables.middle) * 2.0**self.scales.score) for bound in self.ranges.score)
        return Outside(low, high, Width(drop=self.scales.score + COARSE_BITS))

    @property
    def _no_wrap(self) -> Outside:
        """The guard on sums of exponentials, where they are held so coarsely that they cannot have wrapped."""
        highest = 2 * int(self.ranges.total[1])
        drop = self.scales.weighed + highest.bit_length() - 4
        return Outside(0, highest << self.scales.weighed, Width(drop=drop))

    def _shifted(self, run: Run, scores: torch.Tensor, seen: torch.Tensor, start: int) -> torch.Tensor:
        """Scores less their own or the largest of them, and less the middle of the exponential's table."""
        scale, ranges = self.scales.score, self.ranges
        if ranges.maximum:
            scores = scores - self._largest(run, scores, seen)
        else:
            groups, rows, known = scores.shape
            square = scores.reshape(groups, -1, known - start, known)[..., start:]
            scores = scores - square.diagonal(dim1=-2, dim2=-1).reshape(groups, rows, 1)
        if ranges.cut:
            (above,) = run.open(scores)
            scores = run.apply(
                AtLeast(int((ranges.score[0] + COARSE) * 2.0**scale), Width(drop=scale + COARSE_BITS)), above
            )
        return scores - run.public(torch.tensor(int(self.tables.middle * 2.0**scale)))

    def _largest(self, run: Run, scores: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """The largest score of each row, or one that is less than COARSE below it: log2 rounds."""
        lowest = -(1 << 62)  # scores are proved to be above it, and differences not to wrap
        rounds = (scores.shape[-1] - 1).bit_length()
        width = Width(drop=self.scales.score + COARSE_BITS - rounds.bit_length())  # each round may lose as much anew
        return largest(run, scores * seen + run.public(lowest * (1 - seen)), width)

    def _feed(self, run: Run, layer: Layer, normed: Wire) -> torch.Tensor:
        """Shares of what the second half adds. Two rounds."""
        scales = self.scales
        (wire,) = run.open(layer.up.of_wire(run, normed))
        if not self.weights.gated:
            return layer.down.of_wire(run, self._activate(run, wire))
        half = wire.shape[-1] // 2
        gate, other = wire.map(lambda each: each[..., :half]), wire.map(lambda each: each[..., half:])
        activated = self._activate(run, gate)
        cut = run.apply(Truncate(scales.activation - scales.gate), other)
        return layer.down.of_share(run, run.apply(Product(), activated, cut))

    def _activate(self, run: Run, gate: Wire) -> Wire:
        """What goes in is proved to lie within the table, or the comparison's range (see `bounds`)."""
        table, scales = self.tables.activation, self.scales
        if table is None:
            given, scale = run.apply(self._relu, gate), scales.activation
        else:
            given, scale = run.apply(Table(table), gate), scales.activated
        (activated,) = run.open(given)
        cut: Wire = run.apply(Truncate(scale - scales.gate), activated)
        return cut

    @property
    def _relu(self) -> Relu:
        """What lies so little below zero that it would be cut to zero anyway may pass."""
        scales = self.scales
        return Relu(Width(scales.activation + 1 + int(math.log2(self.reach)), scales.activation - scales.gate - 2))


class Guards:
    """Adds up shares of guards, of whatever shapes."""

    def __init__(self) -> None:
        self._sums: list[torch.Tensor] = []

    def add(self, fallen: torch.Tensor) -> None:
        self._sums.append(fallen.sum())

    @property
    def total(self) -> torch.Tensor:
        return torch.stack(self._sums).sum()


def out_of_range(hint: str) -> UnfedError:
    """What a client says where guards fell: the fault lies with no party."""
    return UnfedError(
        "the model's numbers left the range that was calibrated, so that this answer would be wrong",
        kind="role",
        hint=hint,
    )


def _cut(run: Run, wire: Wire, bits: int) -> Wire:
    cut: Wire = run.apply(Truncate(bits), wire) if bits else wire
    return cut


def _turned(each: torch.Tensor) -> torch.Tensor:
    return each.transpose(-1, -2)


def _seen(tokens: int, start: int, heads: int, pad: int) -> torch.Tensor:
    """1 where a row may see another, as [heads · tokens, start + tokens]; of the first `pad` each sees but itself."""
    places = torch.arange(start + tokens)
    rows = places[start:, None]
    allowed = (places <= rows) & ((places >= pad) | (places == rows))
    return allowed.long().repeat(heads, 1)
