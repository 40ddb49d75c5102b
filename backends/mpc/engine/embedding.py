"""Looking tokens up in a public table without telling which: keys made by the client, expanded by the two nodes.

Two-server private information retrieval by distributed point functions (see `dpf`; Boyle, Gilboa and Ishai, "Function
Secret Sharing", Eurocrypt 2015, section 1): each node multiplies its expansion, which is a share of the token's one-hot
vector, with the table, and then holds a share of the row. All this is over Z_2^32, which is wide enough for a row and
takes a third of the time; the first opening lifts it to Z_2^64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from . import dpf
from .rows import Rows

PER_LEAF = 4
"""Tokens under one leaf of the tree: a leaf's hash is 128 bits long."""


class Keys(NamedTuple):
    """What one node receives for t tokens, as it travels: about 17 bytes a level and token, and 32 more.

    Attributes:
        root, seeds, last: int64 [t, 2], [t, levels, 2] and [t, 2].
        bits: uint8 [t, levels].
    """

    root: torch.Tensor
    seeds: torch.Tensor
    bits: torch.Tensor
    last: torch.Tensor


def levels(vocab: int) -> int:
    """Depth of the trees for a vocabulary."""
    return max(1, (-(-vocab // PER_LEAF) - 1).bit_length())


def keys(ids: list[int], vocab: int) -> tuple[Keys, Keys]:
    """One node's keys and the other's; each alone is independent of `ids`."""
    token = np.array(ids, np.uint64)
    payload = np.zeros((len(ids), PER_LEAF), np.uint32)
    payload[np.arange(len(ids)), token % np.uint64(PER_LEAF)] = 1
    first, second = dpf.roots(len(ids)), dpf.roots(len(ids))
    leaf = token // np.uint64(PER_LEAF)
    made = dpf.generate(leaf, payload.view(np.uint64), levels(vocab), first, second, dpf.HALF)
    seeds, last = (torch.from_numpy(part.view(np.int64)) for part in (made.seeds, made.last))
    one, other = (
        Keys(torch.from_numpy(root.view(np.int64).copy()), seeds, torch.from_numpy(made.bits), last)
        for root in (first, second)
    )
    return one, other


def look_up(party: int, keys: Keys, table: Rows) -> torch.Tensor:
    """A share of the rows over Z_2^32: int64 [t, columns], of which the low 32 bits count; `table` is over `HALF`.

    Boyle, Gilboa and Ishai 2015 (see above). Rounds: 0. Bytes: those of a node's `Keys`, from whoever knows the tokens.
    """
    return table.weighted(one_hot(party, keys, table.rows)).long()


def one_hot(party: int, keys: Keys, vocab: int) -> torch.Tensor:
    """A share of the tokens' one-hot rows over Z_2^32: int32 [t, vocab]."""
    words = (part.numpy().view(np.uint64) for part in (keys.root, keys.seeds, keys.last))
    root, seeds, last = (np.ascontiguousarray(part) for part in words)
    correction = dpf.Correction(seeds, keys.bits.numpy(), last)
    found = dpf.expand(party, root, correction, -(-vocab // PER_LEAF), dpf.HALF)
    return torch.from_numpy(found.view(np.int32)).reshape(len(root), -1)[:, :vocab]


def fits(keys: Keys, vocab: int) -> bool:
    """Whether what came over the wire has the shapes and types of keys for this vocabulary."""
    tokens, depth = keys.root.shape[:1], levels(vocab)
    shapes = ((*tokens, 2), (*tokens, depth, 2), (*tokens, depth), (*tokens, 2))
    kinds = (torch.int64, torch.int64, torch.uint8, torch.int64)
    return all(
        part.shape == shape and part.dtype is kind for part, shape, kind in zip(keys, shapes, kinds, strict=True)
    )
