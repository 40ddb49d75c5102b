"""The whole model on weights that both nodes hold as shares, against `transformers`, on three families."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from machine import run
from random_models import save_gpt2, save_llama, save_qwen2
from shared_models import SharedModel
from stepping import in_steps

from unfed.backends.mpc.engine import cost, ring

FAMILIES = {"llama": save_llama, "qwen2": save_qwen2, "gpt2": save_gpt2}
IDS = torch.tensor([5, 100, 200, 300, 17, 219, 45, 12])


def made(family: str, louder: float, tmp_path_factory: pytest.TempPathFactory) -> SharedModel:
    folder = tmp_path_factory.mktemp(family)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("random_models.LOUDER", louder)
        FAMILIES[family](folder, layers=4, hidden=128, vocab=512)
    return SharedModel(folder)


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SharedModel:
    return made(request.param, 1.0, tmp_path_factory)


def program(model: SharedModel, pad: int = 0) -> Any:
    """Open the weights, then run tokens in as many steps as there are parts."""
    return lambda run, vector, *parts: in_steps(model.transformer(run, vector), run, parts, pad)


def logits(model: SharedModel, *parts: torch.Tensor, pad: int = 0) -> tuple[torch.Tensor, int]:
    """And how many guards fell."""
    results, _ = run(program(model, pad), model.vector, *map(model.one_hot, parts))
    (first, one), (second, other) = results
    return ring.decode(first + second, model.format.scales.logit), int(one + other)


def wanted(model: SharedModel) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model.plain(IDS[None]).logits[0, -1]
    return found


def test_logits_are_those_of_the_model(model: SharedModel) -> None:
    found, fallen = logits(model, IDS)
    assert fallen == 0
    assert (found - wanted(model)).abs().max() <= 0.01


@pytest.mark.parametrize("pad", [0, 3])
def test_a_cache_later_positions_and_rows_before_the_prompt_change_nothing(model: SharedModel, pad: int) -> None:
    found, fallen = logits(model, IDS[:5], IDS[5:6], IDS[6:], pad=pad)
    assert fallen == 0
    assert (found - wanted(model)).abs().max() <= 0.01


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_loud_models_have_fewer_bits_and_are_still_right(family: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Scores reach 70, so that their largest are taken off."""
    model = made(family, 3.0, tmp_path_factory)
    assert model.format.ranges.maximum
    found, fallen = logits(model, IDS)
    assert fallen == 0
    assert (found - wanted(model)).abs().max() <= 0.03


def test_rounds_and_bytes_are_known_before(model: SharedModel) -> None:
    vector, tokens = model.vector, model.one_hot(IDS[:3])
    predicted = cost.predict(program(model), tuple(vector.shape), tuple(tokens.shape))
    opening = cost.predict(model.transformer, tuple(vector.shape))
    _, nodes = run(program(model), vector, tokens)
    assert opening.rounds == 1 and predicted.rounds == 1 + 2 + 19 * 4 + 3
    assert opening.second == opening.common == 0, "seeds are all that the dealer sends for the weights"
    assert 0.9 * 8 * vector.numel() < opening.sent <= 8 * vector.numel()
    assert all((node.rounds, node.sent) == (predicted.rounds, predicted.sent) for node in nodes)
