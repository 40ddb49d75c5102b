"""The protocols, one a file: what each computes, where it comes from, what it costs.

A gate itself takes no round: those are of `Run.open`, which puts what goes into a gate under masks, for one round and 8
bytes an element and direction. Bytes in a gate's docstring are of material, from the dealer: common material goes to
both nodes, the rest to the second one alone, since the first one's follows from a seed.
"""

from .choose import Choose
from .compare import AtLeast, Below, Outside, Width
from .product import MatMul, Product, SquareSum, Through
from .sign import Relu
from .spline import Spline
from .table import Table
from .truncate import Truncate

__all__ = [
    "AtLeast",
    "Below",
    "Choose",
    "MatMul",
    "Outside",
    "Product",
    "Relu",
    "Spline",
    "SquareSum",
    "Table",
    "Through",
    "Truncate",
    "Width",
]
