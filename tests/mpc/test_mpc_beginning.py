"""The first layers alone, read from their own weights: calibrated, and run under the protocol."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from looked_up import looked_up
from machine import run
from random_models import save_gpt2, save_llama, save_qwen2
from stepping import stepping
from transformers import AutoModelForCausalLM

from unfed.backends.common.beginning import beginning
from unfed.backends.common.folded import fold
from unfed.backends.mpc.engine import cost, ring
from unfed.backends.mpc.transformer.bounds import fit
from unfed.backends.mpc.transformer.calibrate import calibrate
from unfed.backends.mpc.transformer.program import Cache, Transformer
from unfed.backends.mpc.transformer.public import fixed
from unfed.backends.mpc.transformer.scales import Format
from unfed.backends.mpc.transformer.weights import outline
from unfed.console.party.model import OpenModel
from unfed.console.runner.models import read_card
from unfed.plugins import Model, OpenedModel

FAMILIES = {"llama": save_llama, "qwen2": save_qwen2, "gpt2": save_gpt2}
IDS = torch.tensor([5, 100, 200, 300, 17, 219, 45, 12])
LAYERS = 2


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("random_models.LOUDER", 1.0)
        return FAMILIES[request.param](
            tmp_path_factory.mktemp("model") / request.param, layers=4, hidden=128, vocab=512
        )


@pytest.fixture(scope="module")
def opened(folder: Path) -> Model:
    """No more than an embedding and first layers: reading anything else is an error."""
    parts = ("config", "embedding", f"layers 0-{LAYERS - 1}")
    return OpenModel("entry-0", OpenedModel(read_card(folder), parts))


@pytest.fixture(scope="module")
def transformer(opened: Model) -> Transformer:
    format = fit(folded := fold(opened, LAYERS), calibrate(beginning(opened, LAYERS), opened.card.context))
    return Transformer(fixed(folded, format.scales), format)


def wanted(folder: Path) -> torch.Tensor:
    """GPT-2's stream is centred throughout, which no norm of it sees."""
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    with torch.inference_mode():
        hidden: torch.Tensor = plain(IDS[None], output_hidden_states=True).hidden_states[LAYERS][0]
    return hidden - hidden.mean(-1, keepdim=True) if plain.config.model_type == "gpt2" else hidden


def test_they_are_the_models_own(folder: Path, opened: Model) -> None:
    plain = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.inference_mode():
        hidden = plain(IDS[None], output_hidden_states=True).hidden_states[LAYERS]
        found = beginning(opened, LAYERS)(IDS[None]).last_hidden_state
    assert torch.allclose(found, hidden, atol=1e-5)


def test_ranges_are_those_of_the_whole_model_there(folder: Path, opened: Model) -> None:
    """Random tokens are the same; texts that the first layers write are not, and widen them by little."""
    plain = AutoModelForCausalLM.from_pretrained(folder).eval()
    few, all_of_them = (calibrate(model, 64) for model in (beginning(opened, LAYERS), plain))
    assert len(few.squares) == 2 * LAYERS
    for (low, high), (whole_low, whole_high) in zip(few.squares, all_of_them.squares, strict=False):
        assert 0.5 < low / whole_low < 2 and 0.5 < high / whole_high < 2


def test_hidden_states_are_those_of_the_model(folder: Path, transformer: Transformer) -> None:
    """Of every row of a step; in two steps alike."""
    embedded, scale = looked_up(transformer, IDS), transformer.scales.residual
    results, _ = run(lambda run, x: transformer.step(run, x, Cache(), 0), embedded)
    (first, one), (second, other) = results
    assert int(one + other) == 0
    assert (ring.decode(first + second, scale) - wanted(folder)).abs().max() <= 0.01
    results, _ = run(stepping(transformer), embedded[:5], embedded[5:])
    assert (ring.decode(results[0][0] + results[1][0], scale) - wanted(folder)[5:]).abs().max() <= 0.01


def test_rounds_are_those_of_the_layers(folder: Path, transformer: Transformer) -> None:
    """As known from the shapes alone, which is all that the dealer has."""
    shapes = fixed(outline(read_card(folder), LAYERS), transformer.scales)
    dealt = Transformer(shapes, Format(transformer.ranges, transformer.scales, transformer.reach))
    predicted = cost.predict(lambda run, x: dealt.step(run, x, Cache(), 0), (3, 128))
    _, nodes = run(lambda run, x: transformer.step(run, x, Cache(), 0), looked_up(transformer, IDS[:3]))
    assert predicted.rounds == 1 + 16 * LAYERS
    assert all((node.rounds, node.sent) == (predicted.rounds, predicted.sent) for node in nodes)
