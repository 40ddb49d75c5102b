"""Products of shares with a matrix that lasts: sums of its rows, in tiles that stay in registers.

For a few shared vectors at once every row is read once, as 32 bits where numbers are small, and each number in it is
multiplied with as many weights. A general product of integer matrices reads them from memory again and again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba.core import cgutils as _cgutils
from numba.core import types
from numba.extending import intrinsic

from .blank import Blank, blank
from .kernels import compiled

cgutils: Any = _cgutils
HALF, WORD = 32, 64
"""Bits of the ring."""
LANES = {HALF: 16, WORD: 8}
"""Columns under one tile."""
_LARGE, _SMALL = 16, 4
"""Vectors under one tile: as many as registers hold, fewer, or one."""
_ROWS = 2048
"""Rows after which the next columns' turn comes, so that the weights stay in a core's cache."""


def _tile(vectors: int) -> Any:
    """Add Σ_r weights[first + vectors·r + v] · table[at + lanes·r + c] to out[to + lanes·v + c]; one row at least.

    The table holds int32 or what `out` and the weights hold, whose type says over which ring it is.
    """

    @intrinsic
    def tile(typing: Any, table: Any, at: Any, rows: Any, weights: Any, first: Any, out: Any, to: Any) -> Any:
        bits = out.dtype.bitwidth
        lanes = LANES[bits]

        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            word, count = ir.IntType(bits), ir.IntType(64)
            vector, stored = ir.VectorType(word, lanes), ir.VectorType(ir.IntType(table.dtype.bitwidth), lanes)
            start, rows, origin, target = (arguments[number] for number in (1, 2, 4, 6))

            def element(number: int, offset: Any, kind: Any = None) -> Any:
                array = context.make_array(signature.args[number])(context, builder, arguments[number])
                where = cgutils.gep_inbounds(builder, array.data, offset)
                return where if kind is None else builder.bitcast(where, kind.as_pointer())

            def times(value: Any, factor: int) -> Any:
                return builder.mul(value, ir.Constant(count, factor))

            sums = [
                element(5, builder.add(target, ir.Constant(count, lanes * number)), vector) for number in range(vectors)
            ]
            before = [builder.load(each, align=4) for each in sums]
            entry, loop, done = builder.block, *(builder.append_basic_block(name) for name in ("tile", "tiled"))
            builder.branch(loop)
            builder.position_at_end(loop)
            row = builder.phi(count)
            so_far = [builder.phi(vector) for _ in sums]
            loaded = builder.load(element(0, builder.add(start, times(row, lanes)), stored), align=4)
            loaded = loaded if stored == vector else builder.sext(loaded, vector)
            nothing = ir.Constant(vector, ir.Undefined)
            everywhere = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
            after = []
            for number, each in enumerate(so_far):
                place = builder.add(origin, builder.add(times(row, vectors), ir.Constant(count, number)))
                weight = builder.insert_element(nothing, builder.load(element(3, place)), ir.Constant(count, 0))
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


_sixteen, _four, _single = (_tile(vectors) for vectors in (_LARGE, _SMALL, 1))


@compiled
def _sums(table: Any, rows: int, blocks: int, lanes: int, weights: Any, vectors: int, out: Any) -> None:
    for begin in range(0, rows, _ROWS):
        count = min(_ROWS, rows - begin)
        for block in range(blocks):
            at, to = (block * rows + begin) * lanes, block * vectors * lanes
            if vectors == _LARGE:
                _sixteen(table, at, count, weights, begin * vectors, out, to)
            elif vectors == _SMALL:
                _four(table, at, count, weights, begin * vectors, out, to)
            else:
                _single(table, at, count, weights, begin, out, to)


class Rows:
    """A matrix, packed for products with shares.

    Args:
        matrix: int64 [rows, columns], each number below 2^31 in magnitude unless they are `wide`.
        bits: `HALF` or `WORD`, of the ring that the shares are over.
        wide: numbers are any of Z_2^64, as are those of a matrix that is shared; for `WORD`.
    Raises:
        OverflowError: a number is larger.
    """

    def __init__(self, matrix: torch.Tensor, bits: int = WORD, *, wide: bool = False) -> None:
        self.rows, self.columns = matrix.shape
        if not wide and matrix.numel() and max(int(matrix.max()), -int(matrix.min())) >= 1 << 31:
            raise OverflowError("a number of the matrix does not fit 32 bits")
        self._bits, lanes = bits, LANES[bits]
        self._blocks = -(-self.columns // lanes)
        whole = np.zeros((self.rows, self._blocks * lanes), np.int64 if wide else np.int32)
        whole[:, : self.columns] = matrix.numpy()
        self._packed = whole.reshape(self.rows, self._blocks, lanes).transpose(1, 0, 2).reshape(-1)

    def weighted(self, weights: torch.Tensor) -> torch.Tensor:
        """Weights [vectors, rows] times the matrix: [vectors, columns]; both are int32 over `HALF` and int64 else."""
        if isinstance(weights, Blank):
            return blank(len(weights), self.columns)
        given = weights.contiguous().numpy()
        found = np.empty((len(given), self.columns), given.dtype)
        lanes = LANES[self._bits]
        for begin in range(0, len(given), _LARGE):
            part = given[begin : begin + _LARGE]
            if len(part) == 1:  # lies as it should
                out = np.zeros((1, self._blocks * lanes), given.dtype)
                _sums(self._packed, self.rows, self._blocks, lanes, part.reshape(-1), 1, out.reshape(-1))
                found[begin:] = out[:, : self.columns]
                continue
            vectors = _SMALL if len(part) <= _SMALL else _LARGE
            laid = np.zeros((self.rows, vectors), given.dtype)
            laid[:, : len(part)] = part.T
            out = np.zeros((self._blocks, vectors, lanes), given.dtype)
            _sums(self._packed, self.rows, self._blocks, lanes, laid.reshape(-1), vectors, out.reshape(-1))
            whole = out.transpose(1, 0, 2).reshape(vectors, -1)
            found[begin : begin + _LARGE] = whole[: len(part), : self.columns]
        return torch.from_numpy(found)
