"""How large a model's numbers can get, proved from its weights, and the scales that leave room for it.

A normaliser's output has a norm of √hidden at most, whatever the prompt. From there the norms of the matrices bound
queries, keys, values, what activation functions are given, and what either half of a layer adds to the residual stream,
whose own norm a guard holds to its range before each normaliser. So, by induction over the layers: as long as no
guard has fallen nothing has wrapped around the ring, and the first guard that should fall does.
"""

from __future__ import annotations

import math

import torch

from unfed.plugins import UnfedError

from ...common.folded import Folded, Layer, Linear
from .scales import CUT, Format, Ranges, Scales
from .weights import balanced

EXACT = 1024
"""Extent up to which spectral norms are computed; beyond, larger bounds that cost less are used."""
SLACK = 1.02
"""What fixed point and approximations may add to a norm."""
EDGE = 0.5
"""What a table needs beyond the largest number that goes into it."""
INVERSE = 12
"""Bits that are left of one over the largest sum of exponentials; smaller sums have more."""
FEWEST = 8
"""Bits of fraction below which a site would be too coarse to compute with."""
FEWEST_QUERY = 20
"""Likewise of queries and keys, which have them from two factors."""


def fit(model: Folded, ranges: Ranges, scales: Scales = CUT) -> Format:
    """`scales` for `model`, with fewer bits where it asks for that, within `ranges` of its residual stream.

    Raises:
        UnfedError: the weights allow for numbers so large that too few bits would be left.
    """
    root = SLACK * math.sqrt(model.hidden)
    reach = 1.0
    embedded = float(model.table.norm(dim=1).max())
    if model.positions is not None:
        embedded += float(model.positions.norm(dim=1).max())
    stream, after_attention, after_feeding, scores, attending, normed = embedded, 1.0, 1.0, 1.0, 1.0, 1.0
    for number, layer in enumerate(model.layers):
        before, between = (SLACK * math.sqrt(model.hidden * ranges.squares[2 * number + half][1]) for half in (0, 1))
        attended, score, asked = _attention(model, layer, root)
        fed, gate, inner = _feed(layer, root)
        after_attention, after_feeding = max(after_attention, before + attended), max(after_feeding, between + fed)
        stream = max(stream, before + attended, between + fed)
        scores, reach = max(scores, score), max(reach, gate)
        attending, normed = max(attending, asked), max(normed, gate, inner)
    activation = 2.0 ** _bits(SLACK * reach + EDGE)
    # What is taken off a score is a score: differences are twice as large. They may not wrap where they are compared.
    paired = 63 - _bits(2 * scores - ranges.score[0])
    looked_up = 30 - _bits(embedded)  # over Z_2^32
    residual = min(scales.residual, (62 - _bits(stream * stream)) // 2, looked_up)
    most = residual + scales.root
    scales = scales._replace(residual=residual, attending=min(scales.attending, most), normed=min(scales.normed, most))
    head = model.head
    weight = min(61 - scales.attending - _bits(attending), 61 - scales.normed - _bits(normed))
    scales = scales._replace(
        query=min(scales.query, paired // 2),
        weight=min(scales.weight, weight),
        head=scales.head if head is None else min(scales.head, 61 - scales.normed - _bits(_largest(head, root))),
        inverse=min(scales.inverse, INVERSE + _bits(ranges.total[1])),
        out=min(scales.out, 61 - scales.attended - _bits(after_attention)),
        activated=min(scales.activated, 61 - _bits(activation)),
        down=min(scales.down, 61 - (1 if model.layers[0].gate is None else 2) * scales.gate - _bits(after_feeding)),
    )
    for site, bits in scales._asdict().items():
        if bits < (FEWEST_QUERY if site == "query" else FEWEST):
            raise UnfedError(
                f"the weights of this model allow for numbers too large to compute with in 64 bits ({site})",
                hint="use a model with smaller weights, or backend plain or split",
            )
    return Format(ranges, scales, activation)


def _attention(model: Folded, layer: Layer, root: float) -> tuple[float, float, float]:
    """What attention adds at most (as a norm), the largest score, and the largest query, key or value (as a norm)."""
    width, heads = model.width, model.heads
    growth = 1.0 if model.turn is None else float(model.turn(0, 1)[0].abs().max())  # some rotations lengthen
    queries, keys, values = (
        [_norm(part, at, width) * root + _bias(part, at, width) for at in range(0, part.weight.shape[1], width)]
        for part in (*balanced(layer), layer.value)
    )
    each = heads // model.groups
    score = growth**2 * max(queries[head] * keys[head // each] for head in range(heads))
    mixed = math.sqrt(each * sum(value * value for value in values))
    return _spectral(layer.out.weight) * mixed + _bias(layer.out), score, growth * max(*queries, *keys, *values)


def _feed(layer: Layer, root: float) -> tuple[float, float, float]:
    """What the second half adds at most (as a norm), and the largest number that goes into its activation function;
    the largest that this is multiplied with."""
    largest = _largest(layer.up if layer.gate is None else layer.gate, root)
    # Activation functions of ours are no larger than what they are given.
    inner = _spectral(layer.up.weight) * root + _bias(layer.up)
    if layer.gate is not None:
        inner *= largest
    return _spectral(layer.down.weight) * inner + _bias(layer.down), largest, _largest(layer.up, root)


def _largest(linear: Linear, root: float) -> float:
    """The largest number that a vector of norm `root` can become."""
    return float((linear.weight.norm(dim=0) * root + (0 if linear.bias is None else linear.bias.abs())).max())


def _norm(part: Linear, at: int, width: int) -> float:
    return _spectral(part.weight[:, at : at + width])


def _bias(part: Linear, at: int = 0, width: int | None = None) -> float:
    return 0.0 if part.bias is None else float(part.bias[at : None if width is None else at + width].norm())


def _spectral(matrix: torch.Tensor) -> float:
    """How much longer the matrix can make a vector, at most."""
    if max(matrix.shape) <= EXACT or min(matrix.shape) <= 128:
        small = matrix.T @ matrix if matrix.shape[0] > matrix.shape[1] else matrix @ matrix.T
        return math.sqrt(max(float(torch.linalg.eigvalsh(small)[-1]), 0.0)) * (1 + 1e-9)
    sizes = matrix.abs()
    by_sums = math.sqrt(float(sizes.sum(0).max()) * float(sizes.sum(1).max()))
    return min(by_sums, float(matrix.norm()))


def _bits(magnitude: float) -> int:
    """Bits of a magnitude's whole part."""
    return max(0, math.ceil(math.log2(magnitude)))
