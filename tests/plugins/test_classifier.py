"""Classifiers of images as data, images as queries, and whether one fits the other."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from unfed.plugins import Backend, Classifier, Image, ModelCard, Plan, Query, UnfedError, misfit

LAYERS: list[dict[str, Any]] = [
    {"kind": "conv", "out": 4, "size": 3, "stride": 2, "padding": 1},
    {"kind": "relu"},
    {"kind": "max_pool", "size": 2},
    {"kind": "flatten"},
    {"kind": "linear", "out": 2},
]
CONFIG: dict[str, Any] = {"model_type": "cnn", "input": [3, 9, 8], "classes": ["cat", "dog"], "layers": LAYERS}


def card(name: str = "pets", size: tuple[int, ...] = (1, 2, 2)) -> ModelCard:
    return ModelCard(
        name=name, folder=name, family="cnn" if size else "llama", layers=1, hidden=2, vocab=2, context=9, parameters=0,
        tied=False, config={}, tensors={}, input=size, classes=("cat", "dog") if size else (),
    )  # fmt: skip


def image(*values: float, shape: tuple[int, int, int] = (1, 2, 2)) -> Image:
    return Image(shape=shape, pixels=np.array(values, "<f4").tobytes())


def test_shapes_and_weights_follow_from_the_layers() -> None:
    found = Classifier.of(CONFIG, "here")
    assert found.shapes == ((3, 9, 8), (4, 5, 4), (4, 5, 4), (4, 2, 2), (16,), (2,))
    assert found.weights == {
        "layers.0.weight": (4, 3, 3, 3),
        "layers.0.bias": (4,),
        "layers.4.weight": (2, 16),
        "layers.4.bias": (2,),
    }
    assert (found.depth, found.width) == (2, 80)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"layers": [{"kind": "warp"}]}, "Invalid value 'warp'"),
        ({"layers": [{"kind": "linear", "out": 2}]}, r"layer 0 \(linear\) does not fit"),
        ({"layers": [{"kind": "conv", "out": 2, "size": 30}]}, r"layer 0 \(conv\) does not fit"),
        ({"layers": [{"kind": "max_pool", "size": 30}]}, r"layer 0 \(maxpool\) does not fit"),
        ({"layers": [*LAYERS[:3], {"kind": "linear", "out": 2}]}, r"layer 3 \(linear\) does not fit"),
        ({"layers": [{"kind": "linear", "out": 2, "bias": False}]}, "unknown field `bias`"),
        ({"layers": []}, "2 classes for what ends in"),
        ({"classes": ["cat"]}, "1 classes for what ends in"),
        ({"classes": ["cat", "cat"]}, "2 classes"),
        ({"input": [1, 8]}, "input"),
        ({"input": [1, 0, 8]}, "input"),
        ({"input": [64, 1024, 1024]}, "67,108,864 values is too large"),
        ({"model_type": "mlp"}, "layer 0 is none of an mlp's"),
    ],
)
def test_what_is_no_classifier_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(UnfedError, match=said) as caught:
        Classifier.of(CONFIG | changed, "here")
    assert str(caught.value).startswith("here: ")


def test_an_image_survives_the_control_link() -> None:
    query = Query(id="q", image=image(0, 0.25, 0.5, 1))
    for code in (msgspec.msgpack, msgspec.json):
        again = code.decode(code.encode(query), type=Query)
        assert again == query and again.image is not None
        assert again.image.numpy().tolist() == [[[0, 0.25], [0.5, 1]]]


@pytest.mark.parametrize(
    ("asked", "cards", "said"),
    [
        (None, [card(size=())], None),
        (image(0, 0, 0, 1), [card()], None),
        (None, [], None),
        (None, [card()], "the prompt is text, and pets takes images"),
        (image(0, 0, 0, 1), [card("demo", ())], "the prompt is an image, and demo takes text"),
        (image(0, 0, 0, 1), [], "this backend takes text"),
        (image(0, 0, shape=(1, 1, 2)), [card()], "the size 1×1×2, and pets takes 1×2×2"),
        (image(0, 0, 0, 1.5), [card()], "not all from 0 to 1"),
        (image(0, 0, 0, float("nan")), [card()], "not all from 0 to 1"),
        (image(0, 0, 0), [card()], "no image of 1×2×2"),
        (image(0, 0, 0, 1), [card("demo", ()), card()], None),
    ],
)
def test_whether_a_query_fits(asked: Image | None, cards: list[ModelCard], said: str | None) -> None:
    found = misfit(asked, cards)
    if said is None:
        assert found is None
    else:
        assert found is not None and found.failure.kind == "bad-input" and said in str(found)


class Reader(Backend):
    name, title = "reader", "Reader"

    def plan(self, models: Any, options: Any) -> Plan:
        return Plan(parties=(), links=(), guarantee=())


class Viewer(Reader):
    name, takes = "viewer", ("image",)


def test_a_backend_is_planned_for_models_of_its_kinds_alone() -> None:
    pets, demo = {"model": card()}, {"model": card("demo", ())}
    assert Reader().plan_for(demo, Reader.Options()) == Viewer().plan_for(pets, Viewer.Options())
    with pytest.raises(UnfedError, match="backend reader takes text prompts, and pets takes images"):
        Reader().plan_for(pets, Reader.Options())
    with pytest.raises(UnfedError, match="backend viewer takes images, and demo takes text prompts"):
        Viewer().plan_for(demo, Viewer.Options())
    assert Reader().plan_for(demo | {"members": (card(),)}, Reader.Options())  # a slot of somebody else's
