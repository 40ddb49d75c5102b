"""How many bits of fraction every value of the model carries, site by site, and how far it may reach.

Scales are chosen so that nothing overflows 62 bits within the ranges, and so that values are cut as rarely as possible:
a cut needs a round. Each comment counts bits: fraction + magnitude.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from unfed.plugins import UnfedError

RESIDUAL = 18
"""The residual stream; its squares carry twice that."""
ROOT = 18
"""What a normaliser multiplies with."""
NORMED = 14
"""What comes out of a normaliser and goes into a matrix."""
PAIRED = 14
"""Matrices that give queries and keys, whose products carry 56 bits and leave 7 for scores up to 128."""
SCORE = 2 * (NORMED + PAIRED)
WEIGHT = 18
"""Other matrices after a normaliser: 32 bits, and as many more as numbers get large."""
ACTIVATION = NORMED + WEIGHT
VALUE = 14
"""Attention's values, cut; the sum they are weighted into carries WEIGHED + 14 bits."""
EXP = 34
"""Exponentials as tables give them: 34 + 17 for the largest, 5 more for their sum."""
WEIGHED = 14
"""Exponentials as they weigh values, and the cut sum: 14 + 20."""
SHARE = 26
"""One over the sum of exponentials: after attention 40 bits."""
ATTENDED = WEIGHED + SHARE
OUT = 14
"""The matrix after attention: 54 + 5."""
GATE = 14
"""What an activation function gives, and what it is multiplied with, cut: 28 bits; alone 14."""
DOWN = 16
"""The matrix after that: 44 bits, or 30."""
HEAD = 16
"""The output matrix: logits carry 30 bits."""
LOGIT = NORMED + HEAD


class Ranges(NamedTuple):
    """Within which the model's numbers lie; guards tell the client when one does not.

    Attributes:
        squares: smallest and largest mean square before each normaliser, two per layer and the last one.
        score: lowest and highest attention score; a score below the lowest counts as outside too.
        total: lowest and highest sum of exponentials.
        gate: largest magnitude that goes into an activation function, a power of two.
    """

    squares: tuple[tuple[float, float], ...]
    score: tuple[float, float]
    total: tuple[float, float]
    gate: float

    @classmethod
    def travelled(cls, field: object) -> Ranges:
        """From the field of a message. Raises UnfedError (`protocol`) for what are no ranges."""
        try:
            return msgspec.convert(field, cls)
        except msgspec.ValidationError as error:
            raise UnfedError(f"these are no ranges: {error}", kind="protocol") from None
