"""How a model's numbers are held: within which ranges they lie, and how many bits of fraction each site carries.

Scales are chosen so that nothing overflows 62 bits within the ranges, and so that values are cut as rarely as possible:
a cut needs a round. Those of `Scales` fit small models; `bounds.fit` takes bits away where a model's weights ask for
it.
Each comment counts bits: fraction + magnitude.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from unfed.plugins import UnfedError


class Ranges(NamedTuple):
    """Within which the model's numbers lie; guards tell the client when one does not.

    Attributes:
        squares: smallest and largest mean square before each normaliser, two per layer and, before a head, the last.
        score: lowest and highest of what goes into the exponential: scores less each token's score with itself, or
            less the largest one where `maximum` is set.
        total: lowest and highest sum of exponentials.
        maximum: whether the largest score is taken off, which takes a round for each doubling of the number of tokens:
            where scores spread too widely otherwise.
        cut: whether scores below the lowest are raised to it, which costs a round; else a guard falls.
    """

    squares: tuple[tuple[float, float], ...]
    score: tuple[float, float]
    total: tuple[float, float]
    maximum: bool
    cut: bool

    def rounded(self) -> Ranges:
        """Wider, with powers of two about the mean squares: all that is then told of weights are their exponents."""
        squares = tuple(
            (2.0 ** math.floor(math.log2(low)), 2.0 ** math.ceil(math.log2(high))) for low, high in self.squares
        )
        return self._replace(squares=squares)


class Scales(NamedTuple):
    """Bits of fraction, site by site.

    Attributes:
        residual: the residual stream; its squares carry twice that.
        root: what a normaliser multiplies with.
        attending: what comes out of a normaliser and goes into queries, keys and values. Bits are scarce here.
        normed: what comes out of a normaliser and goes into another matrix.
        query: queries and keys, whose products carry 56 bits and leave 7 for scores.
        weight: matrices after a normaliser: 30 or 32 bits, and as many more as numbers get large.
        value: attention's values, cut.
        exp: exponentials as tables give them: 31 + 31 for their largest sum.
        weighed: exponentials, cut, as they are divided by their sum.
        inverse: one over the sum of exponentials; what both give carries 60 bits and is 1 at most.
        share: exponentials divided by their sum.
        out: the matrix after attention: 46 + 16.
        activated: activation functions as tables give them, before they are cut: 52 + 10.
        gate: what an activation function gives, and what it is multiplied with, cut: 28 bits; alone 14.
        down: the matrix after that: 44 bits, or 30.
        head: the output matrix: logits carry 30 bits.
    """

    residual: int = 18
    root: int = 18
    attending: int = 12
    normed: int = 14
    query: int = 28
    weight: int = 18
    value: int = 14
    exp: int = 31
    weighed: int = 20
    inverse: int = 40
    share: int = 16
    out: int = 16
    activated: int = 52
    gate: int = 14
    down: int = 16
    head: int = 16

    @property
    def score(self) -> int:
        """Attention scores."""
        return 2 * self.query

    @property
    def activation(self) -> int:
        """What goes into an activation function."""
        return self.normed + self.weight

    @property
    def attended(self) -> int:
        return self.share + self.value

    @property
    def logit(self) -> int:
        return self.normed + self.head


CUT = Scales()
"""Where matrices multiply shares."""
UNCUT = Scales(attending=36, normed=36)
"""Where matrices multiply what was opened: a normaliser's result is opened once, and not cut before it goes on, since
a wire that was cut would have to be opened again."""


class Format(NamedTuple):
    """All that nodes and dealer must agree upon, public: it tells of the weights, and of nobody's prompt.

    Attributes:
        activation: largest magnitude that can go into an activation function, a power of two, proved.
    """

    ranges: Ranges
    scales: Scales
    activation: float

    @classmethod
    def travelled(cls, field: object) -> Format:
        """From the field of a message. Raises UnfedError (`protocol`) for what is none."""
        try:
            return msgspec.convert(field, cls)
        except msgspec.ValidationError as error:
            raise UnfedError(f"this is no number format: {error}", kind="protocol") from None
