"""Classifiers of images under CrypTen's protocols: the program against torch in float64, its limit, and real fleets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import torch
from crypten_machine import run
from image_models import EVERY_KIND, SHAPE, random_image, save_classifier
from real_fleets import running, with_roles
from safetensors.torch import load_file

from unfed.backends.common import classifier as plain
from unfed.backends.mpc.engine import ring
from unfed.backends.mpc_crypten.backend import DEALER, NODES, MpcCrypten
from unfed.backends.mpc_crypten.classifier import Network
from unfed.backends.mpc_crypten.library import MPCTensor
from unfed.backends.mpc_crypten.transformer import PRECISION
from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.console.results.images import read_image
from unfed.console.runner.models import read_card
from unfed.plugins import Classifier, Failed, Failure, Finished, Image, Phase, Plan, Query, Token, UnfedError
from unfed.plugins.view import View

DIGITS = Path(__file__).parents[2] / "profiles" / "digits"
FLAT: tuple[dict[str, Any], ...] = (
    {"kind": "flatten"},
    {"kind": "linear", "out": 20},
    {"kind": "square"},
    {"kind": "linear", "out": 5},
)


def opened(folder: Path) -> tuple[Network, plain.Network]:
    """The program, and the same model in float64."""
    classifier = Classifier.of(json.loads((folder / "config.json").read_text()), "test")
    weights = load_file(folder / "model.safetensors")
    exact = plain.Network(classifier).double()
    exact.load_state_dict(weights)
    return Network(classifier, weights), exact.requires_grad_(False)


def scores(network: Network, image: torch.Tensor) -> tuple[torch.Tensor, list[Any]]:
    """Under CrypTen, by two ranks and a dealer; and their channels."""

    def program(share: torch.Tensor) -> torch.Tensor:
        share = network.scores(MPCTensor.from_shares(share[None], precision=PRECISION)).share
        return share

    shares, pipes = run(program, ring.encode(image, PRECISION))
    return ring.decode(shares[0] + shares[1], PRECISION), pipes


@pytest.mark.parametrize(("layers", "family"), [(EVERY_KIND, "cnn"), (FLAT, "mlp")])
def test_every_kind_of_layer_is_torchs_within_rounding(tmp_path: Path, layers: Any, family: str) -> None:
    network, exact = opened(save_classifier(tmp_path, layers, family=family, loud=2, seed=5))
    for seed in range(3):
        image = torch.tensor(random_image(seed=seed).numpy()).double()
        found, wanted = scores(network, image)[0], exact(image[None])[0]
        assert float(wanted.std()) > 0.1  # or being close would mean little
        assert float((found - wanted).abs().max()) < 0.003


def test_linear_layers_ask_the_dealer_for_nothing() -> None:
    """Weights are public to both ranks: convolutions and matrices are computed on shares alone."""
    classifier = Classifier.of(
        {"model_type": "cnn", "input": [1, 8, 8], "classes": ["a", "b"], "layers": [
            {"kind": "conv", "out": 3, "size": 3}, {"kind": "average_pool", "size": 2}, {"kind": "flatten"},
            {"kind": "linear", "out": 2},
        ]}, "test",
    )  # fmt: skip
    weights = {name: torch.rand(shape) - 0.5 for name, shape in classifier.weights.items()}
    image = torch.rand(1, 8, 8, dtype=torch.float64)
    _, pipes = scores(Network(classifier, weights), image)
    assert [pipe.rounds for pipe in pipes] == [1, 1, 0]  # seeds alone


@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_no_image_gives_scores_beyond_the_limit(family: str) -> None:
    """Found by climbing: images that drive one score as far as they can."""
    network, exact = opened(DIGITS / family)
    image = torch.rand(10, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    for _ in range(100):
        (slope,) = torch.autograd.grad(exact(image).diagonal().abs().sum(), image)
        image = (image + 0.1 * slope.sign()).detach().clamp(0, 1).requires_grad_()
    highest = float(exact(image.detach()).abs().max())
    assert 10 < highest < network.limit < 1e4


def test_the_limit_is_exact_where_it_can_be(tmp_path: Path) -> None:
    layers = ({"kind": "flatten"}, {"kind": "linear", "out": 2})
    network, exact = opened(save_classifier(tmp_path, layers, (1, 3, 3), classes=2, family="mlp", seed=1))
    weight, bias = exact.layers[1].weight, exact.layers[1].bias
    assert isinstance(weight, torch.Tensor) and isinstance(bias, torch.Tensor)
    ends = weight.clamp(min=0).sum(1) + bias, weight.clamp(max=0).sum(1) + bias
    assert network.limit == pytest.approx(1 + 1.01 * float(torch.stack(ends).abs().max()), abs=1e-3)


def test_models_whose_numbers_would_leave_the_ring_are_refused(tmp_path: Path) -> None:
    loud = ({"kind": "flatten"}, {"kind": "linear", "out": 9}, *[{"kind": "square"}] * 4, {"kind": "linear", "out": 2})
    with pytest.raises(UnfedError, match=r"layer 4 of the model can give numbers of .*: too large for CrypTen"):
        opened(save_classifier(tmp_path, loud, (1, 5, 5), classes=2, family="mlp", loud=20))
    with pytest.raises(UnfedError, match="weights of 128 or more"):
        opened(save_classifier(tmp_path, FLAT, SHAPE, family="mlp", loud=10_000))


# real parties

slow = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


def models(family: str = "cnn") -> dict[str, Any]:
    return {"model": read_card(DIGITS / family)}


def plan(family: str = "cnn", **roles: str) -> Plan:
    return with_roles(MpcCrypten().plan(models(family), MpcCrypten.Options()), roles)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fleet(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    async with running(launcher, plan(), tmp_path_factory.mktemp("crypten-images"), models=models()) as fleet:
        yield fleet


def digits() -> list[tuple[Image, str]]:
    lines = (DIGITS / "prompts.jsonl").read_text().splitlines()[:12]
    return [(read_image(DIGITS / entry["image"])[0], entry["label"]) for entry in map(json.loads, lines)]


async def asked(fleet: Fleet, image: Image, number: object) -> list[Any]:
    query = Query(id=f"image-{number}", image=image, logits=True)
    events = [event async for event in fleet.ask(query, 60)]
    await fleet.settle(query.id)
    return events


class TestParties:
    pytestmark = slow

    async def test_labels_are_plains_and_scores_are_close(self, fleet: Fleet) -> None:
        _, exact = opened(DIGITS / "cnn")
        for number, (image, label) in enumerate(digits()):
            events = await asked(fleet, image, number)
            assert isinstance(events[-1], Finished) and events[-1].answer.text == label and events[-1].offline > 0
            (token,) = (event for event in events if isinstance(event, Token))
            found = np.frombuffer(token.logits, "<f4")
            wanted = exact(torch.tensor(image.numpy()).double()[None])[0].numpy()
            assert np.abs(found - wanted).max() < 0.002
        assert {event.name for event in events if isinstance(event, Phase)} == {"seeds", "randomness", "classify"}

    async def test_the_dealer_sees_the_same_whatever_the_image(self, launcher: LocalLauncher, tmp_path: Path) -> None:
        seen = []
        for number, (image, _) in enumerate(digits()[:2]):
            views = tmp_path / f"views{number}"
            async with running(launcher, plan("mlp"), tmp_path, models=models("mlp"), views=views, variant="v") as one:
                await asked(one, image, "same")
            (path,) = (path for path in views.rglob("*") if DEALER in path.name and path.is_file())
            messages = [entry for entry in View(DEALER, path) if entry.kind == "message"]
            assert not any(message.arrays for message in messages)
            seen.append(sorted((m.sender, m.name, str(m.fields)) for m in messages))
        assert seen[0] == seen[1] != []

    @pytest.mark.parametrize(
        ("roles", "party", "named"),
        [
            ({"compute_0": "AbsurdImages"}, "client", "larger than this model's can be"),
            ({"compute_1": "ShortImages"}, "compute-1", "sent what are no logits"),
            ({"client": "Hasty"}, "client", "asks before it has prepared"),
            ({"client": "Cropping"}, "client", "no share of an image"),
        ],
    )
    async def test_a_party_that_misbehaves_is_named(
        self, launcher: LocalLauncher, tmp_path: Path, roles: dict[str, str], party: str, named: str
    ) -> None:
        rogues = {name: f"crypten_rogues:{role}" for name, role in roles.items()}
        async with running(launcher, plan(**rogues), tmp_path, models=models()) as fleet:
            last = (await asked(fleet, digits()[0][0], "rogue"))[-1]
            assert isinstance(last, Failed)
            found: Failure = last.error
            assert found.party == party and named in found.message


def test_the_plan_tells_images_from_text() -> None:
    made = plan()
    assert [party.role.partition(":")[0].rpartition(".")[2] for party in made.parties] == [
        "images",
        "images",
        "images",
        "dealer",
    ]
    for claim in made.guarantee:
        if claim.asset == "prompt" and claim.denies and claim.against != ("network",):
            assert len(claim.against) == 1 and claim.reveals == () and claim.assumes
    assert {claim.against for claim in made.guarantee if claim.asset == "prompt"} >= {(NODES[0],), (NODES[1],), NODES}
