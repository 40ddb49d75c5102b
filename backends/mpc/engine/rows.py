"""Sums of a public table's rows, weighted by shares over Z_2^32: tiles of sums that stay in registers.

For a few shared vectors at once every row is read once, and each number in it is multiplied with as many weights. A
general product of integer matrices reads them from memory again and again, and multiplies 64 bits where 32 do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba.core import cgutils as _cgutils
from numba.core import types
from numba.extending import intrinsic

from .kernels import compiled

cgutils: Any = _cgutils
LANES = 16
"""Columns under one tile."""
_LARGE, _SMALL = 16, 4
"""Vectors under one tile: as many as registers hold, fewer, or one."""
_ROWS = 2048
"""Rows after which the next columns' turn comes, so that the weights stay in a core's cache."""


def _tile(vectors: int) -> Any:
    """Add Σ_r weights[first + vectors·r + v] · table[at + LANES·r + c] to out[to + LANES·v + c]; one row at least."""

    @intrinsic
    def tile(typing: Any, table: Any, at: Any, rows: Any, weights: Any, first: Any, out: Any, to: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            word, count = ir.IntType(32), ir.IntType(64)
            vector = ir.VectorType(word, LANES)
            start, rows, origin, target = (arguments[number] for number in (1, 2, 4, 6))

            def element(number: int, offset: Any, kind: Any = None) -> Any:
                array = context.make_array(signature.args[number])(context, builder, arguments[number])
                where = cgutils.gep_inbounds(builder, array.data, offset)
                return where if kind is None else builder.bitcast(where, kind.as_pointer())

            def times(value: Any, factor: int) -> Any:
                return builder.mul(value, ir.Constant(count, factor))

            sums = [
                element(5, builder.add(target, ir.Constant(count, LANES * number)), vector) for number in range(vectors)
            ]
            before = [builder.load(each, align=4) for each in sums]
            entry, loop, done = builder.block, *(builder.append_basic_block(name) for name in ("tile", "tiled"))
            builder.branch(loop)
            builder.position_at_end(loop)
            row = builder.phi(count)
            so_far = [builder.phi(vector) for _ in sums]
            loaded = builder.load(element(0, builder.add(start, times(row, LANES)), vector), align=4)
            nothing, everywhere = ir.Constant(vector, ir.Undefined), ir.Constant(vector, [0] * LANES)
            after = []
            for number, each in enumerate(so_far):
                place = builder.add(origin, builder.add(times(row, vectors), ir.Constant(count, number)))
                weight = builder.insert_element(nothing, builder.load(element(3, place)), ir.Constant(word, 0))
                spread = builder.shuffle_vector(weight, nothing, everywhere)
                after.append(builder.add(each, builder.mul(loaded, spread)))
            following = builder.add(row, ir.Constant(count, 1))
            builder.cbranch(builder.icmp_signed("<", following, rows), loop, done)
            for phi, initial, then in zip(
                [row, *so_far], [ir.Constant(count, 0), *before], [following, *after], strict=True
            ):
                phi.add_incoming(initial, entry)
                phi.add_incoming(then, loop)
            builder.position_at_end(done)
            for where, each in zip(sums, after, strict=True):
                builder.store(each, where, align=4)
            return context.get_dummy_value()

        return types.void(table, at, rows, weights, first, out, to), build

    return tile


_sixteen, _four, _single = _tile(_LARGE), _tile(_SMALL), _tile(1)


@compiled
def _sums(table: Any, rows: int, blocks: int, weights: Any, vectors: int, out: Any) -> None:
    for begin in range(0, rows, _ROWS):
        count = min(_ROWS, rows - begin)
        for block in range(blocks):
            at, to = (block * rows + begin) * LANES, block * vectors * LANES
            if vectors == _LARGE:
                _sixteen(table, at, count, weights, begin * vectors, out, to)
            elif vectors == _SMALL:
                _four(table, at, count, weights, begin * vectors, out, to)
            else:
                _single(table, at, count, weights, begin, out, to)


class Rows:
    """A public table, packed for sums of its rows mod 2^32.

    Args:
        table: int64 [rows, columns], each number below 2^31 in magnitude.
    Raises:
        OverflowError: one is not.
    """

    def __init__(self, table: torch.Tensor) -> None:
        self.rows, self.columns = table.shape
        if table.numel() and int(table.abs().max()) >= 1 << 31:
            raise OverflowError("a number of the table does not fit 32 bits")
        self._blocks = -(-self.columns // LANES)
        packed = np.zeros((self._blocks, self.rows, LANES), np.int32)
        for block in range(self._blocks):
            part = table[:, block * LANES : (block + 1) * LANES]
            packed[block, :, : part.shape[1]] = part.numpy()
        self._packed = packed.reshape(-1)

    def weighted(self, weights: Any) -> torch.Tensor:
        """The sum of the rows, each times its weight: int64 [vectors, columns], of which the low 32 bits count.

        Args:
            weights: uint32 or int32 [vectors, rows].
        """
        found = np.empty((len(weights), self.columns), np.int32)
        for begin in range(0, len(weights), _LARGE):
            part = weights[begin : begin + _LARGE].view(np.int32)
            vectors = next(size for size in (1, _SMALL, _LARGE) if size >= len(part))
            given = np.zeros((self.rows, vectors), np.int32)
            given[:, : len(part)] = part.T
            out = np.zeros((self._blocks, vectors, LANES), np.int32)
            _sums(self._packed, self.rows, self._blocks, given.reshape(-1), vectors, out.reshape(-1))
            whole = out.transpose(1, 0, 2).reshape(vectors, -1)
            found[begin : begin + _LARGE] = whole[: len(part), : self.columns]
        return torch.from_numpy(found).long()
