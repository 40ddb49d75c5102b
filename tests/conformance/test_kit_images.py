"""Images as canaries: what is planted, in which forms it is found, and what is left alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

import msgspec
import numpy as np
import pytest
from test_kit_search import found, message
from workshop import PROFILES

from unfed.console.runner.models import read_card
from unfed.plugins import Backend, Image, Models, Options, Party, Plan, Slot, Token, misfit
from unfed.plugins.conformance.canary import Planter
from unfed.plugins.conformance.exchange import Exchange, new_query
from unfed.plugins.conformance.lab import Lab
from unfed.plugins.conformance.likeness import alike
from unfed.plugins.conformance.needles import Needles
from unfed.plugins.conformance.rig import Rig
from unfed.plugins.query import Answer, Finished

PLANTER = Planter(read_card(PROFILES / "digits" / "mlp"))


def canary(number: int) -> Image:
    image = PLANTER.plant(number).image
    assert image is not None
    return image


IMAGE, OTHER = canary(1), canary(2)
PIXELS = IMAGE.numpy()


def needles(image: Image = IMAGE) -> Needles:
    made = Needles()
    made.add_pixels("pixels", image.numpy().reshape(-1))
    return made


def test_canaries_are_images_that_fit_and_differ() -> None:
    assert IMAGE.shape == (1, 8, 8) and IMAGE.fault is None
    assert canary(1) == IMAGE != OTHER and len(set(PIXELS.reshape(-1).tolist())) > 40
    assert PLANTER.plant(1).asked == IMAGE and PLANTER.plant(1).prompt == ""
    asked = new_query(IMAGE, 8)
    assert (asked.prompt, asked.image) == ("", IMAGE) and new_query("text", 8).image is None


FORMS: dict[str, Callable[[Any], Any]] = {
    "float32": lambda x: x,
    "float64": lambda x: x.astype(np.float64),
    "float16": lambda x: x.astype(np.float16),
    "levels": lambda x: np.rint(x * 255).astype(np.uint8),
    "fixed point": lambda x: np.rint(x * 2**16).astype(np.int64),
    "flat": lambda x: x.reshape(-1),
    "upside down in value": lambda x: 1 - x,
    "normalised": lambda x: (x - np.float32(0.13)) / np.float32(0.31),
    "a batch": lambda x: np.stack([OTHER.numpy(), x]),
    "bytes of levels": lambda x: np.rint(x * 255).astype("u1").tobytes(),
    "bytes of float32": lambda x: b"head" + x.tobytes(),
    "bytes of float64": lambda x: x.astype("<f8").tobytes() + b"tail",
    "bytes of fixed point": lambda x: b"head" + np.rint(x.astype(np.float64) * 2**12).astype("<i4").tobytes(),
    "bytes of wide fixed point": lambda x: np.rint(x.astype(np.float64) * 2**20).astype("<i8").tobytes(),
    "a part": lambda x: x.reshape(-1)[:8].tobytes(),
    "a list": lambda x: x.reshape(-1).tolist(),
}


@pytest.mark.parametrize("form", FORMS)
def test_pixels_are_found(form: str) -> None:
    seen = message(image=FORMS[form](PIXELS))
    assert found(seen, needles()) == {"pixels"}
    if form != "a batch":
        assert found(seen, needles(OTHER)) == set()


def test_pixels_are_found_in_shares_put_together_and_not_in_one_share() -> None:
    chance = np.random.default_rng(0)
    first = chance.integers(-(2**63), 2**63, PIXELS.shape, np.int64)
    with np.errstate(over="ignore"):
        second = np.rint(PIXELS.astype(np.float64) * 2**16).astype(np.int64) - first
    one, other = message("a", image=first), message("b", image=second)
    assert found([one], needles()) == found([other], needles()) == set()
    assert found([one, other], needles()) == {"pixels"}


def answered(name: str, *scores: float) -> Exchange:
    made = Exchange(new_query("", 1))
    made.events = [
        (0.0, Token(id=0, text=name, logits=np.array(scores, "<f4").tobytes())),
        (0.1, Finished(answer=Answer(text=name, token_ids=(0,)), total=0.1, first_token=0.1, offline=0.0)),
    ]
    return made


def test_the_same_class_with_the_scores_of_another_image_is_another_answer() -> None:
    one = answered("7", 3.0, -1.0, 0.5)
    assert alike(one, answered("7", 3.01, -1.0, 0.49))
    assert not alike(one, answered("7", 1.0, -3.0, 0.7))
    bare = answered("7")
    bare.events[0] = (0.0, msgspec.structs.replace(bare.tokens[0], logits=None))
    assert alike(bare, bare)


class Ensemble(Backend):
    """A backend whose models all lie in a slot of their own."""

    name, title, takes = "ensemble", "Ensemble", ("image",)
    slots: ClassVar[Mapping[str, Slot]] = {"members": Slot("classifiers", many=True)}

    def plan(self, models: Models, options: Options) -> Plan:
        return Plan(parties=(Party("client", "nobody:Nobody"),), links=(), guarantee=())


def test_an_ensemble_of_classifiers_is_asked_images_too() -> None:
    assert PLANTER.card is not None
    rig = Rig(cast(Lab, None), Ensemble, Options(), {"members": (PLANTER.card,) * 3}, folder=PROFILES, patience=1.0)
    assert rig.prompt() == IMAGE and rig.query().image == canary(2)
    tried = rig.planter.unaskable(IMAGE)
    assert len(tried) == 6
    for what, asked in tried.items():
        fault = misfit(asked if isinstance(asked, Image) else None, [PLANTER.card])
        assert fault is not None and fault.failure.kind == "bad-input", what
