"""How much of a secret has to stand somewhere before chance is no longer the likelier cause.

Any few ids in a row stand, sooner or later, in megabytes of random bytes. So a match counts only if it is so long that
all the places looked at, times all the needles looked for, hardly ever make one as long: a match that holds b bits
stands at a random place once in 2^b times.
"""

from __future__ import annotations

import math

ODDS = 30
"""Of 2^this many searches of nothing but random numbers, one finds something."""


def least_bits(places: int, needles: int) -> float:
    """Bits that a match must hold.

    Args:
        places: how many places are looked at, at most.
        needles: how many different matches are looked for at each.
    """
    return ODDS + math.log2(max(1, places)) + math.log2(max(1, needles))
