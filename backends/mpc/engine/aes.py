"""Fixed-key AES-128 as a hash of 128-bit blocks, in kernels that other kernels inline.

H_k(x) = AES_k(x) ⊕ x (Matyas-Meyer-Oseas), correlation-robust when AES under a fixed key is an ideal permutation:
Guo, Katz, Wang and Yu, "Efficient and Secure Multiparty Computation from Fixed-Key Block Ciphers" (IEEE S&P 2020),
section 5. The keys are public; what is secret is x. A block is two uint64.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba.core import cgutils as _cgutils
from numba.core import types
from numba.extending import intrinsic

from unfed.plugins import UnfedError

from .kernels import compiled

cgutils: Any = _cgutils
_FEATURES = llvm.get_host_cpu_features()
if not _FEATURES.get("aes"):
    raise UnfedError(
        "this processor has no AES instructions", kind="unavailable", hint="run this party on another host"
    )

WIDE = 4 if _FEATURES.get("vaes") and _FEATURES.get("avx512f") else 1
"""Blocks per instruction."""


def _instruction(width: int, last: bool) -> Any:
    """One round over `width` blocks: `out[to:] = round(blocks[at:], key[word:])`."""
    name = "llvm.x86.aesni.aesenc" + ("last" if last else "") + (".512" if width == 4 else "")

    @intrinsic
    def rounds(typing: Any, blocks: Any, at: Any, keys: Any, out: Any, to: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            word, vector = ir.IntType(64), ir.VectorType(ir.IntType(64), 2 * width)

            def pointer(number: int, offset: Any) -> Any:
                array = context.make_array(signature.args[number])(context, builder, arguments[number])
                where = cgutils.gep_inbounds(builder, array.data, offset)
                return builder.bitcast(where, vector.as_pointer())

            def key(number: int) -> Any:
                array = context.make_array(signature.args[2])(context, builder, arguments[2])
                pair = ir.VectorType(word, 2)
                where = cgutils.gep_inbounds(builder, array.data, ir.Constant(word, 2 * number))
                loaded = builder.load(builder.bitcast(where, pair.as_pointer()), align=8)
                if width == 1:
                    return loaded
                lanes = ir.Constant(ir.VectorType(ir.IntType(32), 2 * width), [0, 1] * width)
                return builder.shuffle_vector(loaded, loaded, lanes)

            def call(instruction: str, state: Any, with_key: Any) -> Any:
                kind = ir.FunctionType(vector, [vector, vector])
                return builder.call(
                    cgutils.get_or_insert_function(builder.module, kind, instruction), [state, with_key]
                )

            plain = builder.load(pointer(0, arguments[1]), align=8)
            if last:  # the one instruction alone, for the key schedule
                state = call(name, plain, key(0))
            else:
                state = builder.xor(plain, key(0))
                for number in range(1, 10):
                    state = call(name, state, key(number))
                state = call(name.replace("aesenc", "aesenclast"), state, key(10))
                state = builder.xor(state, plain)
            builder.store(state, pointer(3, arguments[4]), align=8)
            return context.get_dummy_value()

        return types.void(blocks, at, keys, out, to), build

    return rounds


_hash_one = _instruction(1, last=False)
_hash_wide = _instruction(WIDE, last=False)
_last_round = _instruction(1, last=True)


@compiled
def hash_blocks(blocks: Any, count: int, key: Any, out: Any) -> None:
    """`out[i] = H(blocks[i])` for `count` blocks, both uint64 [2·count] or longer; `key` from `schedule`."""
    done = 0
    while done + WIDE <= count:
        _hash_wide(blocks, 2 * done, key, out, 2 * done)
        done += WIDE
    while done < count:
        _hash_one(blocks, 2 * done, key, out, 2 * done)
        done += 1


@compiled
def _substitute(blocks: Any, zero: Any, out: Any) -> None:
    _last_round(blocks, 0, zero, out, 0)


def schedule(key: bytes) -> Any:
    """The eleven round keys of AES-128 as uint64 [22] (FIPS 197, section 5.2)."""
    words = list(np.frombuffer(key, "<u4"))
    constant = 1
    for number in range(4, 44):
        word = words[-1]
        if number % 4 == 0:
            turned = np.uint32((int(word) >> 8) | (int(word) << 24) & 0xFFFFFFFF)
            # The last round of AES substitutes bytes and shifts rows, which changes nothing where all columns agree.
            blocks, out = np.full(4, turned, np.uint32).view(np.uint64), np.empty(2, np.uint64)
            _substitute(blocks, np.zeros(2, np.uint64), out)
            word = out.view(np.uint32)[0] ^ np.uint32(constant)
            constant = (constant << 1) ^ (0x11B if constant & 0x80 else 0)
        words.append(words[-4] ^ word)
    return np.array(words, np.uint32).view(np.uint64)


LEFT, RIGHT, VALUE, VALUE_RIGHT, LEAF = (
    schedule(f"unfed mpc key {name}".encode()[:16].ljust(16, b"\0")) for name in "LRVWX"
)
"""Round keys of the five hashes that trees need: fixed, public, and nothing up anyone's sleeve."""
