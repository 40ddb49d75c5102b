"""The whole model under the protocol against `transformers`, on three families, with ReLU too, and with a cache."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from looked_up import looked_up
from machine import run
from random_models import save_gpt2, save_llama, save_qwen2
from stepping import stepping
from transformers import AutoModelForCausalLM

from unfed.backends.common.folded import fold
from unfed.backends.mpc.engine import cost, ring
from unfed.backends.mpc.transformer.bounds import fit
from unfed.backends.mpc.transformer.calibrate import calibrate
from unfed.backends.mpc.transformer.program import Cache, Transformer
from unfed.backends.mpc.transformer.public import fixed
from unfed.backends.mpc.transformer.scales import Format
from unfed.console.party.model import OpenModel
from unfed.console.runner.models import read_card
from unfed.plugins import OpenedModel, UnfedError

FAMILIES = {
    "llama": save_llama,
    "qwen2": save_qwen2,
    "gpt2": save_gpt2,
    "llama, relu": partial(save_llama, hidden_act="relu"),
    "qwen2, relu": partial(save_qwen2, hidden_act="relu"),
    "gpt2, relu": partial(save_gpt2, activation_function="relu"),
}
IDS = torch.tensor([5, 100, 200, 300, 17, 219, 45, 12])


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Transformer, Any]:
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("random_models.LOUDER", 1.0)
        FAMILIES[request.param](folder, layers=4, hidden=128, vocab=512)
    return load(folder)


def load(folder: Path) -> tuple[Transformer, Any]:
    card = read_card(folder)
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    folded = fold(OpenModel("compute-0", OpenedModel(card, ("all",))))
    format = fit(folded, calibrate(plain, card.context))
    return Transformer(fixed(folded, format.scales), format), plain


def reveal(transformer: Transformer, results: list[Any]) -> tuple[torch.Tensor, int]:
    (first, one), (second, other) = results
    return ring.decode(first + second, transformer.scales.logit), int(one + other)


def wanted(plain: Any) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = plain(IDS[None]).logits[0, -1]
    return logits


def test_logits_are_those_of_the_model(model: tuple[Transformer, Any]) -> None:
    transformer, plain = model
    embedded = looked_up(transformer, IDS)
    results, _ = run(lambda run, x: transformer.step(run, x, Cache(), 0), embedded)
    logits, fallen = reveal(transformer, results)
    assert fallen == 0
    assert (logits - wanted(plain)).abs().max() <= 0.01


@pytest.mark.parametrize("pad", [0, 1, 7])
def test_a_cache_kept_under_its_masks_and_rows_before_the_prompt_change_nothing(
    model: tuple[Transformer, Any], pad: int
) -> None:
    transformer, plain = model
    embedded = looked_up(transformer, IDS)
    results, _ = run(stepping(transformer, pad), embedded[:5], embedded[5:6], embedded[6:])
    logits, fallen = reveal(transformer, results)
    assert fallen == 0
    assert (logits - wanted(plain)).abs().max() <= 0.01


def test_rounds_and_bytes_are_known_before(model: tuple[Transformer, Any]) -> None:
    transformer, _ = model

    def program(run: Any, x: torch.Tensor) -> Any:
        return transformer.step(run, x, Cache(), 0)

    predicted = cost.predict(program, (3, 128))
    _, nodes = run(program, looked_up(transformer, IDS[:3]))
    assert predicted.rounds == 1 + 16 * 4 + 3
    assert all((node.rounds, node.sent) == (predicted.rounds, predicted.sent) for node in nodes)


def test_numbers_out_of_range_are_told_to_whoever_opens_the_guards(model: tuple[Transformer, Any]) -> None:
    """An embedding a thousand times too large leaves the range of the first normaliser."""
    transformer, _ = model
    embedded = looked_up(transformer, IDS) << 10
    results, _ = run(lambda run, x: transformer.step(run, x, Cache(), 0), embedded)
    assert reveal(transformer, results)[1] > 0


def test_an_activation_that_no_table_gives_exactly_enough_is_refused_by_name(model: tuple[Transformer, Any]) -> None:
    transformer, _ = model
    format = Format(transformer.ranges, transformer.scales, 16.0)
    with pytest.raises(UnfedError, match="'relu6' is not supported"):
        Transformer(transformer.weights._replace(activation="relu6"), format)
