"""Products of two secrets: Beaver, "Efficient Multiparty Protocols Using Circuit Randomization" (CRYPTO 1991), with the
masks of the wires themselves in place of fresh triples, as in Ben-Efraim, Nielsen and Omri, "Turbospeedz" (ACNS 2019).

With x = v - Σ f·m: x·y = v·v' - v·Σ f'm' - v'·Σ f·m + Σ f·f'·(m·m'); the dealer shares every m·m'.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations_with_replacement, product
from typing import Any, NamedTuple

import torch

from ..blank import Blank, blank
from ..material import Deal, Draw
from ..ring import BITS
from ..rows import Rows
from ..session import Run
from ..wire import Mask, Wire
from .compare import only_mask

Multiply = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _survives(a: Mask, b: Mask) -> bool:
    return a.lift + b.lift < BITS


def _factor(a: Mask, b: Mask) -> torch.Tensor | None:
    if a.factor is None or b.factor is None:
        return a.factor if b.factor is None else b.factor
    return a.factor * b.factor


class _Bilinear:
    """A product by `multiply`. 8 bytes of material for each element of each product of masks, at the second node."""

    multiply: Multiply

    def deal(self, deal: Deal, x: Wire, y: Wire) -> torch.Tensor:
        for a, b in self._pairs(x, y):
            deal.share(self.multiply(a.part, b.part))
        return self._blank(x, y)

    def read(self, draw: Draw, x: Wire, y: Wire) -> tuple[Any, torch.Tensor]:
        shape = self._blank(x, y).shape
        return [draw.share(*shape) for _ in self._pairs(x, y)], self._blank(x, y)

    def ready(self, party: int, material: Any) -> Any:
        return material

    def compute(self, party: int, material: Any, x: Wire, y: Wire) -> torch.Tensor:
        mine_x, mine_y = x.masked(), y.masked()
        # One multiplication fewer where the public product is taken along with a mask's.
        result = self.multiply(x.value, (y.value if party == 0 else 0) - mine_y) - self.multiply(mine_x, y.value)
        for (a, b), part in zip(self._pairs(x, y), material, strict=True):
            factor = _factor(a, b)
            result = result + (part if factor is None else part * factor)
        return result

    def _pairs(self, x: Wire, y: Wire) -> list[tuple[Mask, Mask]]:
        return [(a, b) for a, b in product(x.masks, y.masks) if _survives(a, b)]

    def _blank(self, x: Wire, y: Wire) -> torch.Tensor:
        return self.multiply(blank(*x.shape), blank(*y.shape))


class Product(_Bilinear):
    """x · y element by element, with broadcasting. Beaver 1991 (see above).

    Rounds: 0. Bytes: 8 a result, for plain wires; for others 8 more for each further product of masks.
    """

    def multiply(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a * b


class MatMul(_Bilinear):
    """x @ y (batched as torch does). Both wires must be plain: factors would have to go inside the sums.

    Beaver 1991 (see above). Rounds: 0. Bytes: 8 a result.
    """

    def multiply(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a @ b

    def _pairs(self, x: Wire, y: Wire) -> list[tuple[Mask, Mask]]:
        if not (x.plain and y.plain):
            raise ValueError("open the factors of a matrix product afresh: their masks have public factors")
        return super()._pairs(x, y)


class Through(NamedTuple):
    """x @ w for a secret matrix w [in, out] that lasts: it was opened once, under a mask b that the dealer keeps, and a
    product opens no more than x [t, in].

    With x = v - m and w = d - b: x @ w = v @ w - m @ d + m @ b, of which the dealer shares every m @ b afresh, and
    nodes work out m @ d ahead of time. Mohassel and Zhang, "SecureML" (IEEE S&P 2017), section 4.1, mask a matrix once
    for many products. Rounds: 0. Bytes: 8 a result.

    Attributes:
        shape: of w.
        mask: at the dealer b; None at a node.
        matrix, opened: at a node its share of w, and d; None until they are there.
    """

    shape: torch.Size
    mask: Rows | None = None
    matrix: Rows | None = None
    opened: Rows | None = None

    @classmethod
    def of(cls, run: Run, matrix: Wire) -> Through:
        """A matrix as it was opened, for any later run of the same party."""
        share, mask = run.share(matrix), only_mask(matrix)
        if isinstance(share, Blank):
            return cls(matrix.shape, None if isinstance(mask, Blank) else Rows(mask, wide=True))
        return cls(matrix.shape, None, Rows(share, wide=True), Rows(matrix.value, wide=True))

    def deal(self, deal: Deal, x: Wire) -> torch.Tensor:
        mask, result = only_mask(x), self._blank(x)
        nothing = torch.zeros(result.shape, dtype=torch.int64)  # of a node that deals to itself, to warm up
        deal.share(nothing if self.mask is None else self.mask.weighted(mask))
        return result

    def read(self, draw: Draw, x: Wire) -> tuple[Any, torch.Tensor]:
        mask = only_mask(x)
        return (draw.share(*self._blank(x).shape), mask), self._blank(x)

    def ready(self, party: int, material: Any) -> Any:
        return material if self.opened is None else (self._ahead(*material), None)

    def compute(self, party: int, material: Any, x: Wire) -> torch.Tensor:
        assert self.matrix is not None, "a matrix is multiplied with after it was opened"
        ahead = material[0] if material[1] is None else self._ahead(*material)
        return self.matrix.weighted(x.value) + ahead

    def _ahead(self, share: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """What does not depend on x."""
        assert self.opened is not None
        return share - self.opened.weighted(mask)

    def _blank(self, x: Wire) -> torch.Tensor:
        return blank(*x.shape) @ blank(*self.shape)


class SquareSum(NamedTuple):
    """Σ x² over the last dimension, which is kept with extent 1.

    Beaver 1991 (see above). Rounds: 0. Bytes: 8 a sum; and for each product of masks that have factors 8 an element.
    """

    def deal(self, deal: Deal, x: Wire) -> torch.Tensor:
        for a, b in self._pairs(x):
            deal.share(self._sum(a.part * b.part, a, b))
        return blank(*x.shape[:-1], 1)

    def read(self, draw: Draw, x: Wire) -> tuple[Any, torch.Tensor]:
        whole, single = tuple(x.shape), (*x.shape[:-1], 1)
        material = [draw.share(*(single if _factor(a, b) is None else whole)) for a, b in self._pairs(x)]
        return material, blank(*single)

    def ready(self, party: int, material: Any) -> Any:
        return material

    def compute(self, party: int, material: Any, x: Wire) -> torch.Tensor:
        result = (x.value * ((x.value if party == 0 else 0) - 2 * x.masked())).sum(-1, keepdim=True)
        for (a, b), part in zip(self._pairs(x), material, strict=True):
            factor = _factor(a, b)
            term = part if factor is None else (part * factor).sum(-1, keepdim=True)
            result = result + (term if a is b else 2 * term)
        return result

    def _pairs(self, x: Wire) -> list[tuple[Mask, Mask]]:
        return [(a, b) for a, b in combinations_with_replacement(x.masks, 2) if _survives(a, b)]

    @staticmethod
    def _sum(values: torch.Tensor, a: Mask, b: Mask) -> torch.Tensor:
        return values.sum(-1, keepdim=True) if not (a.lift or b.lift) else values
