"""`plain` on images: the network is what its file says, and real parties give its scores."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
import torch
from fakes import FakeModel
from image_models import SHAPE, random_image, save_classifier
from real_fleets import running
from safetensors.torch import load_file, save_file

from unfed.backends.common.classifier import Network, answered, check_scores
from unfed.backends.plain.backend import Plain
from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.console.results.images import read_image
from unfed.console.runner.models import read_card
from unfed.plugins import Event, Failed, Finished, Image, Query, Token, UnfedError

DIGITS = Path(__file__).parents[2] / "profiles" / "digits"
PROMPTS = [json.loads(line) for line in (DIGITS / "prompts.jsonl").read_text().splitlines()]
_numbers = itertools.count(1)


def network_of(folder: Path) -> Network:
    return Network.of(FakeModel(read_card(folder)))


def test_an_mlp_computes_what_its_matrices_say() -> None:
    weights = {name: value.double().numpy() for name, value in load_file(DIGITS / "mlp" / "model.safetensors").items()}
    image, _ = read_image(DIGITS / PROMPTS[7]["image"])
    x = image.numpy().astype(np.float64).reshape(-1)
    for number in (1, 3, 5):
        x = weights[f"layers.{number}.weight"] @ x + weights[f"layers.{number}.bias"]
        x = np.maximum(x, 0) if number < 5 else x
    scores = network_of(DIGITS / "mlp")(torch.tensor(image.numpy())[None])[0]
    assert np.abs(scores.numpy() - x).max() < 1e-5


def test_every_kind_of_layer_computes_what_it_is_called(tmp_path: Path) -> None:
    """Against loops over windows, with no help of torch's."""
    folder = save_classifier(tmp_path, seed=3)
    weights = {name: value.double().numpy() for name, value in load_file(folder / "model.safetensors").items()}

    def windows(x: np.ndarray, size: int, stride: int) -> np.ndarray:
        rows, columns = ((side - size) // stride + 1 for side in x.shape[1:])
        cut = [[x[:, r * stride :, c * stride :][:, :size, :size] for c in range(columns)] for r in range(rows)]
        return np.array(cut)  # [rows, columns, channels, size, size]

    def conv(x: np.ndarray, number: int, stride: int = 1, padding: int = 0) -> np.ndarray:
        kernel, bias = weights[f"layers.{number}.weight"], weights[f"layers.{number}.bias"]
        padded = np.pad(x, [(0, 0), (padding, padding), (padding, padding)])
        return np.einsum("rcixy,oixy->orc", windows(padded, kernel.shape[2], stride), kernel) + bias[:, None, None]

    image = random_image(seed=1)
    x = np.maximum(conv(image.numpy().astype(np.float64), 0, 2, 1), 0)
    x = windows(x, 2, 2).max((3, 4)).transpose(2, 0, 1) ** 2
    x = windows(conv(x, 4), 2, 2).mean((3, 4)).transpose(2, 0, 1)
    wanted = weights["layers.7.weight"] @ x.reshape(-1) + weights["layers.7.bias"]
    assert np.abs(network_of(folder)(torch.tensor(image.numpy())[None])[0].numpy() - wanted).max() < 1e-5


@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_the_models_that_ship_are_right_on_their_prompts(family: str) -> None:
    """As their card says: 69 and 70 of 70, read as the console reads them."""
    network = network_of(DIGITS / family)
    images = torch.stack([torch.tensor(read_image(DIGITS / entry["image"])[0].numpy()) for entry in PROMPTS])
    with torch.inference_mode():
        classes = network(images).argmax(-1).tolist()
    assert (
        sum(str(found) == entry["label"] for found, entry in zip(classes, PROMPTS, strict=True))
        == {
            "mlp": 69,
            "cnn": 70,
        }[family]
    )
    assert len(PROMPTS) == 70 and len({entry["image"] for entry in PROMPTS}) == 70
    card = (DIGITS / "README.md").read_text()
    assert {"mlp": "69 of 70", "cnn": "70 of 70"}[family] in card


def test_an_answer_is_one_token_that_is_the_class() -> None:
    card = read_card(DIGITS / "cnn")
    scores = torch.zeros(10)
    scores[7] = 1.5
    token, answer = answered(card, scores, Query(id="q", logits=True))
    assert (token.id, token.text, answer.text, answer.token_ids) == (7, "7", "7", (7,))
    assert token.logits == scores.numpy().tobytes()
    assert answered(card, scores, Query(id="q"))[0].logits is None


def test_scores_of_another_shape_are_the_senders_fault() -> None:
    for wrong in (torch.zeros(9), torch.zeros(10).double(), [0.0] * 10):
        with pytest.raises(UnfedError, match="no scores of 10 classes") as caught:
            check_scores(wrong, read_card(DIGITS / "cnn"), "server")
        assert (caught.value.failure.kind, caught.value.failure.party) == ("protocol", "server")


def test_a_folder_whose_weights_are_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = save_classifier(tmp_path)
    weights = load_file(folder / "model.safetensors")
    save_file(weights | {"layers.7.bias": torch.zeros(4)}, folder / "model.safetensors")
    with pytest.raises(UnfedError, match=r"'layers.7.bias' has the shape \[4\]; config.json asks for \[5\]"):
        read_card(folder)
    del weights["layers.0.weight"]
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(UnfedError, match=r"'layers.0.weight' is missing"):
        read_card(folder)


def test_the_card_of_a_classifier() -> None:
    card = read_card(DIGITS / "cnn")
    assert (card.name, card.family, card.takes, card.input) == ("digits/cnn", "cnn", "image", (1, 8, 8))
    assert (card.layers, card.vocab, card.parameters) == (3, 10, 3818) and card.classes == tuple("0123456789")
    assert card.opened(("all",)) == frozenset(card.tensors) and card.opened(("config",)) == frozenset()


# real parties

slow = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fleet(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    folder = tmp_path_factory.mktemp("plain")
    models = {"model": read_card(save_classifier(folder / "model"))}
    plan = Plain().plan(models, Plain.Options()).check()
    async with running(launcher, plan, folder, models=models) as fleet:
        yield fleet


async def asked(fleet: Fleet, image: Image | None, prompt: str = "") -> list[Event]:
    query = Query(id=f"i{next(_numbers)}", prompt=prompt, image=image, logits=True)
    events = [event async for event in fleet.ask(query, 30)]
    await fleet.settle(query.id)
    return events


class TestParties:
    pytestmark = slow

    async def test_scores_are_the_networks_bit_for_bit(self, fleet: Fleet, tmp_path: Path) -> None:
        network = network_of(save_classifier(tmp_path))
        images = [random_image(seed=seed) for seed in range(6)]
        for image, events in zip(images, await asyncio.gather(*(asked(fleet, each) for each in images)), strict=True):
            (token,) = (event for event in events if isinstance(event, Token))
            with torch.inference_mode():
                scores = network(torch.tensor(image.numpy())[None])[0]
            assert token.logits == scores.numpy().tobytes()
            assert isinstance(events[-1], Finished)
            assert events[-1].answer.text == token.text == f"class {int(scores.argmax())}"

    async def test_what_does_not_fit_fails_alone_and_reaches_no_node(self, fleet: Fleet) -> None:
        wrong = {
            "the prompt is text": None,
            "takes 2×17×14": random_image((1, 8, 8)),
            "not all from 0 to 1": Image(shape=SHAPE, pixels=np.full(SHAPE, 2, "<f4").tobytes()),
        }
        for said, image in wrong.items():
            query = Query(id=f"i{next(_numbers)}", prompt="a word" if image is None else "", image=image)
            events = [event async for event in fleet.ask(query, 30)]
            assert isinstance(events[-1], Failed)
            assert events[-1].error.kind == "bad-input" and said in events[-1].error.message
            assert (await fleet.settle(query.id)).trace.messages == 0
        assert isinstance((await asked(fleet, random_image()))[-1], Finished)
