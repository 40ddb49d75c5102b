"""The model as a program under CrypTen's protocols against `transformers`: three families, with its cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import torch
from crypten_machine import run
from random_models import save_gpt2, save_llama, save_qwen2
from transformers import AutoModelForCausalLM

from unfed.backends.common.folded import fold
from unfed.backends.mpc_crypten.communicator import here
from unfed.backends.mpc_crypten.functions import Crypten
from unfed.backends.mpc_crypten.library import MPCTensor
from unfed.backends.mpc_crypten.ranges import Watching, watch
from unfed.backends.mpc_crypten.transformer import PRECISION, Cache, Transformer
from unfed.console.party.model import OpenModel
from unfed.console.runner.models import read_card
from unfed.plugins import OpenedModel, UnfedError

DEMO = Path(__file__).parents[2] / "profiles" / "demo" / "model"
FAMILIES = {"llama": save_llama, "qwen2": save_qwen2, "gpt2": save_gpt2}
IDS = torch.tensor([5, 100, 200, 300, 17, 219, 45, 12])


class Made(NamedTuple):
    transformer: Transformer
    functions: Crypten
    plain: Any
    vocab: int


def load(folder: Path) -> Made:
    card = read_card(folder)
    transformer = Transformer(fold(OpenModel("compute-0", OpenedModel(card, ("all",)))))
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    return Made(transformer, Crypten(watch(transformer, card.vocab, card.context)), plain, card.vocab)


@pytest.fixture(scope="module", params=["demo", *FAMILIES])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    if request.param == "demo":
        return load(DEMO)
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("random_models.LOUDER", 1.0)
        FAMILIES[request.param](folder, layers=4, hidden=128, vocab=512)
    return load(folder)


def program(made: Made) -> Any:
    """Runs parts of a prompt one after the other; the logits' shares after each."""

    def steps(*parts: torch.Tensor) -> list[torch.Tensor]:
        cache, start, found = Cache(), 0, []
        for part in parts:
            onehot = MPCTensor.from_shares(part, precision=0)
            found.append(made.transformer.step(made.functions, onehot, cache, start).share)
            start += len(part)
        return found

    return steps


def wanted(made: Made, tokens: int) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = made.plain(IDS[None, :tokens]).logits[0, -1]
    return logits


def test_logits_are_those_of_the_model_and_the_cache_changes_nothing(made: Made) -> None:
    onehot = torch.nn.functional.one_hot(IDS, made.vocab)
    (first, second), _ = run(program(made), onehot[:6], onehot[6:7], onehot[7:])
    for mine, other, tokens in zip(first, second, (6, 7, 8), strict=True):
        logits = (mine + other).double() * 2.0**-PRECISION
        assert (logits - wanted(made, tokens)).abs().max() <= 0.01
        assert logits.abs().max() <= made.transformer.limit


def test_in_the_clear_the_program_is_the_model(made: Made) -> None:
    """Apart from weights cut to sixteen bits; so what else errs is the protocol's doing."""
    onehot = torch.nn.functional.one_hot(IDS, made.vocab)
    logits = made.transformer.step(Watching(), onehot, Cache(), 0)
    assert (logits - wanted(made, len(IDS))).abs().max() <= 0.005


def test_a_token_costs_one_tokens_work() -> None:
    """What two nodes open for a token after 24 others is a small part of what they open for those."""
    made = load(DEMO)
    opened: list[int] = []

    def steps(*parts: torch.Tensor) -> None:
        cache, start = Cache(), 0
        for part in parts:
            made.transformer.step(made.functions, MPCTensor.from_shares(part, precision=0), cache, start)
            start += len(part)
            if here.communicator.rank == 0 and here.communicator._channel is not None:
                opened.append(here.communicator._channel.bytes)

    onehot = torch.nn.functional.one_hot(torch.arange(25), made.vocab)
    run(steps, onehot[:24], onehot[24:])
    before, after = opened
    assert 0 < after - before < before / 10


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("use_sliding_window", True, "use_sliding_window"),
        ("scale_attn_by_inverse_layer_idx", True, "scale_attn_by_inverse_layer_idx"),
        ("rope_scaling", {"type": "dynamic"}, "'dynamic'"),
        ("hidden_act", "relu", "'relu'"),
    ],
)
def test_models_that_compute_something_else_are_refused(setting: str, value: Any, told: str) -> None:
    card = read_card(DEMO)
    config = {**card.config, "rope_parameters": None, setting: value}
    with pytest.raises(UnfedError, match=told):
        Transformer(fold(OpenModel("c", OpenedModel(msgspec.structs.replace(card, config=config), ("all",)))))


@pytest.mark.parametrize("value", [200.0, float("nan")])
def test_weights_that_do_not_fit_are_refused(value: float) -> None:
    weights = fold(OpenModel("compute-0", OpenedModel(read_card(DEMO), ("all",))))
    weights.table[3, 4] = value
    with pytest.raises(UnfedError, match="too large for CrypTen"):
        Transformer(weights)
