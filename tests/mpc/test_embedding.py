"""Looking tokens up by keys: right rows, small keys that tell nothing, and keys that do not fit are seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from uniform import is_uniform

from unfed.backends.mpc.engine.embedding import Keys, fits, keys, look_up, one_hot
from unfed.backends.mpc.engine.rows import HALF, Rows


def added(first: Keys, second: Keys, table: torch.Tensor) -> torch.Tensor:
    """What both nodes' shares add up to."""
    packed = Rows(table, HALF)
    return (look_up(0, first, packed) + look_up(1, second, packed)).to(torch.int32).long()


@settings(max_examples=30, deadline=None)
@given(st.data(), st.sampled_from([1, 2, 3, 17, 512, 2048]))
def test_both_shares_add_up_to_the_rows(data: st.DataObject, vocab: int) -> None:
    ids = data.draw(st.lists(st.integers(0, vocab - 1), min_size=1, max_size=5))
    ids += [0, vocab - 1, ids[0]]  # the edges, and one twice
    table = torch.randint(-(2**31) + 1, 2**31, (vocab, 3))
    first, second = keys(ids, vocab)
    assert fits(first, vocab) and fits(second, vocab)
    assert torch.equal(added(first, second, table), table[ids])
    rows = torch.nn.functional.one_hot(torch.tensor(ids), vocab)
    assert torch.equal((one_hot(0, first, vocab) + one_hot(1, second, vocab)).long(), rows)


@pytest.mark.parametrize("vocab", [50257, 128256])
def test_large_vocabularies(vocab: int) -> None:
    table = torch.arange(vocab)[:, None] << 10
    ids = [0, 1, vocab // 2, vocab - 1]
    first, second = keys(ids, vocab)
    assert torch.equal(added(first, second, table), table[ids])
    assert sum(part.numel() * part.element_size() for part in first) <= 1024 * len(ids), "a kilobyte a token"


@pytest.mark.parametrize("party", [0, 1])
def test_what_a_node_gets_and_makes_of_it_is_spread_evenly(party: int) -> None:
    mine = keys([7] * 4000, 64)[party]
    for part in (mine.root, mine.seeds[..., 1], mine.last):  # the first word of a correction has a bit of its own
        assert is_uniform(np.ascontiguousarray(part.numpy()).view(np.uint64).reshape(-1))
    share = look_up(party, mine, Rows(torch.eye(64, dtype=torch.int64), HALF)).numpy()[:, 7]
    assert is_uniform(share.astype(np.uint32).reshape(-1, 2).view(np.uint64).reshape(-1))


def test_keys_of_two_tokens_look_alike() -> None:
    for part in Keys._fields:
        means = []
        for token in (0, 45):
            raw = np.ascontiguousarray(getattr(keys([token] * 4000, 64)[0], part).numpy()).reshape(4000, -1)
            means.append(np.unpackbits(raw.view(np.uint8), axis=1).mean(0))
        assert np.abs(means[0] - means[1]).max() < 6 * np.sqrt(0.5 / 4000), part


def test_keys_that_do_not_fit_are_seen() -> None:
    one, _ = keys([3, 4], 64)
    assert fits(one, 64) and not fits(one, 256)
    assert not fits(one._replace(root=one.root[:1]), 64)
    assert not fits(one._replace(last=one.last.int()), 64)
    assert not fits(one._replace(bits=one.bits[:, :-1]), 64)
