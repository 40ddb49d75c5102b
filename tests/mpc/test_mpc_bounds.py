"""What is proved of a model's numbers holds for them, and widely spread scores are computed rightly too."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from looked_up import looked_up
from machine import run
from random_models import save_gpt2, save_llama, save_qwen2
from stepping import stepping
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import AutoModelForCausalLM

from unfed.backends.common.folded import Folded, fold
from unfed.backends.mpc.engine import ring
from unfed.backends.mpc.transformer.bounds import fit
from unfed.backends.mpc.transformer.calibrate import LARGEST, OWN, calibrate
from unfed.backends.mpc.transformer.program import COARSE, Cache, Transformer
from unfed.backends.mpc.transformer.public import fixed
from unfed.backends.mpc.transformer.scales import UNCUT, Ranges
from unfed.console.party.model import OpenModel
from unfed.console.runner.models import read_card
from unfed.plugins import OpenedModel, UnfedError

FAMILIES = {"llama": save_llama, "qwen2": save_qwen2, "gpt2": save_gpt2}
IDS = torch.tensor([5, 100, 200, 300, 17, 219, 45, 12, 8, 9])


calibrated = lru_cache(calibrate)
"""Each model is run once for each choice."""


@pytest.fixture(scope="module", params=FAMILIES)
def loud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Folded, Any]:
    """Layers three times as loud as fresh ones: scores reach 70, and mean squares 1600."""
    folder = tmp_path_factory.mktemp(request.param)
    FAMILIES[request.param](folder, layers=4, hidden=128, vocab=512)
    return load(folder)


def load(folder: Path) -> tuple[Folded, Any]:
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
    return fold(OpenModel("compute-0", OpenedModel(read_card(folder), ("all",)))), plain


class Scores(TorchDispatchMode):
    """The largest attention score."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0.0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        if function is torch.ops.aten._softmax.default:
            scores = arguments[0]
            seen = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
            self.largest = max(self.largest, float(scores[..., seen].abs().max()))
        return function(*arguments, **(named or {}))


def test_no_number_is_larger_than_what_is_proved(loud: tuple[Folded, Any]) -> None:
    folded, plain = loud
    format = fit(folded, calibrated(plain, 64))
    gates: list[float] = []
    for name, module in plain.named_modules():
        if name.endswith(("gate_proj", "c_fc")):
            module.register_forward_hook(lambda module, given, result: gates.append(float(result.abs().max())))
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad(), Scores() as scores:
        plain(torch.randint(0, 512, (16, 48), generator=generator))
    assert 0 < max(gates) < format.activation
    assert 2 * scores.largest - format.ranges.score[0] < 2.0 ** (63 - format.scales.score)


@pytest.mark.parametrize("louder", [1.0, 3e4])
def test_rows_of_the_table_fit_the_ring_that_they_are_looked_up_in(loud: tuple[Folded, Any], louder: float) -> None:
    folded, plain = loud
    folded = folded._replace(table=folded.table * louder)
    bits = fit(folded, calibrated(plain, 64)).scales.residual
    assert float(folded.table.abs().max()) * 2.0**bits < 2.0**30


@pytest.mark.parametrize("louder", [1.0, 300.0])
def test_what_is_not_cut_leaves_room_in_the_ring(loud: tuple[Folded, Any], louder: float) -> None:
    """With secret weights, whatever a normaliser gives goes through matrices at 36 bits of fraction, or fewer."""
    folded, plain = loud
    layer = folded.layers[0]
    value, up = (each._replace(weight=each.weight * louder) for each in (layer.value, layer.up))
    folded = folded._replace(layers=(layer._replace(value=value, up=up), *folded.layers[1:]))
    scales = fit(folded, calibrated(plain, 64).rounded(), UNCUT).scales
    assert scales.attending == scales.normed == scales.residual + scales.root
    normed = torch.nn.functional.normalize(torch.randn(64, folded.hidden, dtype=torch.float64)) * folded.hidden**0.5
    largest = max(float((normed @ each.weight).abs().max()) for each in (value, up))
    assert largest * 2.0 ** (scales.normed + scales.weight) < 2.0**62
    assert float((normed @ folded.head.weight).abs().max()) * 2.0**scales.logit < 2.0**62
    assert louder == 1 or scales.normed + scales.weight < UNCUT.normed + UNCUT.weight


def test_of_mean_squares_no_more_is_told_than_powers_of_two() -> None:
    ranges = Ranges(((0.3, 5.0), (1.0, 4.0)), OWN, (0.98, 2.0**30), maximum=False, cut=False)
    assert ranges.rounded().squares == ((0.25, 8.0), (1.0, 4.0))


@pytest.mark.parametrize("pad", [0, 4])
def test_scores_that_spread_widely_have_their_largest_taken_off(loud: tuple[Folded, Any], pad: int) -> None:
    folded, plain = loud
    format = fit(folded, calibrated(plain, 64))
    assert format.ranges.maximum and format.ranges.score == LARGEST
    transformer = Transformer(fixed(folded, format.scales), format)
    parts = torch.split(looked_up(transformer, IDS), [len(IDS) - 1, 1])
    ((mine, one), (other, two)), _ = run(stepping(transformer, pad), *parts)
    assert int(one + two) == 0
    with torch.inference_mode():
        wanted = plain(IDS[None]).logits[0, -1]
    assert (ring.decode(mine + other, format.scales.logit) - wanted).abs().max() <= 0.03


def test_what_is_taken_off_scores_lies_no_further_below_the_largest_than_promised(loud: tuple[Folded, Any]) -> None:
    """What each round may lose of a difference too small for a coarse comparison adds up to the promise at most."""
    folded, plain = loud
    format = fit(folded, calibrated(plain, 64, "maximum"))
    transformer = Transformer(fixed(folded, format.scales), format)
    rising = torch.tensor([place.bit_count() for place in range(64)]) * COARSE / 2
    scores = ring.encode(rising.expand(50, 64), format.scales.score)
    found, _ = run(lambda run, x: transformer._largest(run, x, torch.ones(50, 64, dtype=torch.int64)), scores)
    below = rising.max() - ring.decode(found[0] + found[1], format.scales.score)
    assert below.min() >= 0 and below.max() < COARSE


def test_what_is_taken_off_scores_can_be_chosen(loud: tuple[Folded, Any]) -> None:
    _, plain = loud
    assert calibrated(plain, 64, "own").score == OWN
    assert calibrated(plain, 64, "maximum").score == LARGEST


def test_own_scores_do_not_hold_where_they_spread_widely_and_guards_say_so(loud: tuple[Folded, Any]) -> None:
    folded, plain = loud
    format = fit(folded, calibrated(plain, 64, "own"))
    transformer = Transformer(fixed(folded, format.scales), format)
    results, _ = run(lambda run, x: transformer.step(run, x, Cache(), 0), looked_up(transformer, IDS))
    assert int(results[0][1] + results[1][1]) > 0


def test_weights_that_64_bits_cannot_hold_are_refused(loud: tuple[Folded, Any]) -> None:
    folded, plain = loud
    layer = folded.layers[0]
    huge = layer._replace(out=layer.out._replace(weight=layer.out.weight * 1e9))
    with pytest.raises(UnfedError, match="too large to compute with"):
        fit(folded._replace(layers=(huge, *folded.layers[1:])), calibrated(plain, 64))
