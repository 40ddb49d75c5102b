"""Nobody who sees one node's side of many runs can tell which of two prompts was asked.

A node's side is all that it receives: keys for the tokens, its part of the material, what the other node sends, and
what both then know as opened values. Two tests look for any difference: chi-square over the two halves of every byte,
place by place, and a classifier that is trained on half of the runs and guesses in the other half. Both tell runs apart
in which something is left open, so they would. (The dealer is given no more than lengths: see `test_mpc_parties`.)
"""

from __future__ import annotations

import queue
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from random_models import save_llama
from scipy.stats import binomtest, chi2
from transformers import AutoModelForCausalLM

from unfed.backends.common.folded import fold
from unfed.backends.mpc.engine import dpf
from unfed.backends.mpc.engine.blank import blank
from unfed.backends.mpc.engine.embedding import keys
from unfed.backends.mpc.engine.material import Deal, Draw
from unfed.backends.mpc.engine.session import Computing, Dealing, Preparing
from unfed.backends.mpc.transformer.bounds import fit
from unfed.backends.mpc.transformer.calibrate import calibrate
from unfed.backends.mpc.transformer.program import Cache, Transformer
from unfed.backends.mpc.transformer.public import fixed
from unfed.console.party.model import OpenModel
from unfed.console.runner.models import read_card
from unfed.plugins import OpenedModel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PROMPTS = ([5, 100, 17], [311, 2, 250])
VOCAB, HIDDEN, RUNS = 320, 32, 48
"""`RUNS` are of each prompt."""
LOOKED_AT = 3000
"""Bytes of each kind that are looked at, spread over all there are."""
TRAINED_ON = 200
"""Bits."""
FALSE_ALARM = 1e-6

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Sides = dict[int, tuple[Bytes, Bytes]]
"""Party → what it saw in the runs of each prompt: [runs, bytes]."""


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> Transformer:
    folder = save_llama(tmp_path_factory.mktemp("llama"), layers=1, hidden=HIDDEN, vocab=VOCAB)
    folded = fold(OpenModel("compute-0", OpenedModel(read_card(folder), ("all",))))
    format = fit(folded, calibrate(AutoModelForCausalLM.from_pretrained(folder), 64))
    return Transformer(fixed(folded, format.scales), format)


class Bare(Computing):
    """Forgets to mask what it opens."""

    def open(self, *shares: torch.Tensor) -> Any:
        self._made[0] = [torch.zeros_like(mask) for mask in self._made[0]]
        return super().open(*shares)


def sides(transformer: Transformer, ids: list[int], kind: type[Computing] = Computing) -> list[Bytes]:
    """What each node receives in one run."""
    deal = Deal()
    transformer.step(Dealing(deal), blank(len(ids), HIDDEN), Cache(), 0)
    parts, sent = deal.parts(), keys(ids, VOCAB)
    queues: tuple[queue.Queue[torch.Tensor], ...] = (queue.Queue(), queue.Queue())

    def node(party: int) -> Bytes:
        received: list[torch.Tensor] = []

        def exchange(mine: torch.Tensor) -> torch.Tensor:
            queues[1 - party].put(mine)
            theirs = queues[party].get(timeout=60)
            received.append(torch.cat([theirs, mine + theirs]))
            return theirs

        preparing = Preparing(Draw(party, *parts[party]))
        transformer.step(preparing, blank(len(ids), HIDDEN), Cache(), 0)
        given = transformer.weights.embedding.given(party, sent[party])
        transformer.step(kind(party, preparing.made, exchange), given, Cache(), 0)
        kinds = (b"".join(part.numpy().tobytes() for part in sent[party]), *parts[party], torch.cat(received).numpy())
        return np.concatenate([_some(np.frombuffer(each, np.uint8)) for each in kinds])

    with ThreadPoolExecutor() as pool:
        return list(pool.map(node, (0, 1)))


def _some(data: Bytes) -> Bytes:
    return data if len(data) <= LOOKED_AT else data[np.linspace(0, len(data) - 1, LOOKED_AT).astype(int)]


def many(transformer: Transformer, kind: type[Computing] = Computing, runs: int = RUNS) -> Sides:
    first, second = ([sides(transformer, ids, kind) for _ in range(runs)] for ids in PROMPTS)
    return {
        party: (np.stack([run[party] for run in first]), np.stack([run[party] for run in second])) for party in (0, 1)
    }


def frequencies_differ(one: Bytes, other: Bytes) -> bool:
    """Two-sample chi-square of each half byte at each place, with Bonferroni's correction for how many these are."""
    least, tests = 1.0, 0
    for half in (lambda each: each & 15, lambda each: each >> 4):
        counts = np.array([[(half(side) == value).sum(0) for value in range(16)] for side in (one, other)], float)
        expected = counts.mean(0)  # as many runs of the one as of the other
        terms = np.divide((counts - expected) ** 2, expected, out=np.zeros_like(counts), where=expected > 0)
        freedom = (expected > 0).sum(0) - 1
        told = freedom > 0  # of the others all are one value
        tests += int(told.sum())
        least = min(least, float(chi2.sf(terms.sum((0, 1))[told], freedom[told]).min()))
    return least * tests < FALSE_ALARM


def can_be_guessed(one: Bytes, other: Bytes) -> bool:
    """Whether a logistic regression guesses the prompt of runs that it has not seen otherwise than by chance.

    It is trained on the bits that differ most in the other half of the runs.
    """
    bits = torch.from_numpy(np.unpackbits(np.concatenate([one, other]), axis=1)).float() * 2 - 1
    label = torch.cat([torch.zeros(len(one)), torch.ones(len(other))])
    shuffled = torch.randperm(len(label), generator=torch.Generator().manual_seed(0))
    train, held = shuffled.chunk(2)
    apart = bits[train][label[train] == 0].mean(0) - bits[train][label[train] == 1].mean(0)
    bits = bits[:, apart.abs().topk(TRAINED_ON).indices]
    weight, offset = torch.zeros(bits.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.AdamW([weight, offset], lr=1e-2, weight_decay=0.1)
    for _ in range(50):
        optimiser.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(bits[train] @ weight + offset, label[train]).backward()
        optimiser.step()
    guessed = ((bits[held] @ weight + offset > 0) == (label[held] > 0.5)).sum()
    interval = binomtest(int(guessed), len(held)).proportion_ci(1 - FALSE_ALARM, "exact")
    return not interval.low <= 0.5 <= interval.high


@pytest.fixture(scope="module")
def honest(transformer: Transformer) -> Sides:
    return many(transformer)


TESTS = pytest.mark.parametrize("told_apart", [frequencies_differ, can_be_guessed])


@TESTS
@pytest.mark.parametrize("party", [0, 1])
def test_a_node_cannot_tell_two_prompts_apart(honest: Sides, told_apart: Callable[..., bool], party: int) -> None:
    assert not told_apart(*honest[party])


@pytest.fixture(scope="module")
def unmasked(transformer: Transformer) -> Sides:
    return many(transformer, Bare, RUNS // 2)


@pytest.fixture(scope="module")
def seeded(transformer: Transformer) -> Sides:
    fixed_root = secrets.token_bytes(16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dpf, "roots", lambda count: np.frombuffer(fixed_root * count, np.uint64).reshape(count, 2))
        return many(transformer, runs=RUNS // 2)


@TESTS
def test_values_that_are_opened_without_masks_would_be_seen(unmasked: Sides, told_apart: Callable[..., bool]) -> None:
    assert all(told_apart(*side) for side in unmasked.values())


@TESTS
def test_keys_from_a_fixed_seed_would_be_seen(seeded: Sides, told_apart: Callable[..., bool]) -> None:
    assert all(told_apart(*side) for side in seeded.values())
