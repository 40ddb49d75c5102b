"""The protocols, one a file: what each computes, where it comes from, what it costs."""

from .choose import Choose
from .compare import AtLeast, Below, Outside, Relu, Width
from .product import MatMul, Product, SquareSum
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
    "Truncate",
    "Width",
]
