"""Classifiers of images as data: what stands in config.json, and the shapes that follow from it.

    {"model_type": "cnn", "input": [1, 8, 8], "classes": ["0", "1", …],
     "layers": [{"kind": "conv", "out": 8, "size": 3, "padding": 1}, {"kind": "relu"}, …, {"kind": "linear", …}]}

The weights of layer N (counted from 0) are the tensors `layers.N.weight` and `layers.N.bias`, laid out as torch does:
[out, in] of `linear`, [out, in, size, size] of `conv`.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import msgspec

from .errors import UnfedError

FAMILIES = ("mlp", "cnn")
"""Values of `model_type` that mean a classifier; an `mlp` has no convolution and no pool."""
MAX_PIXELS = 1 << 20
"""Values of one image, and of what any layer makes of it."""

Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 16)]
Shape = tuple[int, ...]


class _Layer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    pass


class Flatten(_Layer, frozen=True, tag="flatten"):
    """[channels, height, width] → [values]."""


class Linear(_Layer, frozen=True, tag="linear"):
    """[values] → [out]."""

    out: Count


class Conv(_Layer, frozen=True, tag="conv"):
    """A convolution with square windows of `size`; the border is padded with zeros."""

    out: Count
    size: Count
    stride: Count = 1
    padding: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0


class AveragePool(_Layer, frozen=True, tag="average_pool"):
    """The mean of each square of `size`; squares do not overlap."""

    size: Count


class MaxPool(_Layer, frozen=True, tag="max_pool"):
    """The largest of each square of `size`; squares do not overlap."""

    size: Count


class Relu(_Layer, frozen=True, tag="relu"):
    """max(x, 0)."""


class Square(_Layer, frozen=True, tag="square"):
    """x², the activation of CryptoNets (Gilad-Bachrach et al., ICML 2016)."""


Layer = Flatten | Linear | Conv | AveragePool | MaxPool | Relu | Square


class _Config(msgspec.Struct, frozen=True):
    model_type: str
    input: tuple[Count, Count, Count]
    classes: tuple[str, ...]
    layers: tuple[Layer, ...]


class Classifier(msgspec.Struct, frozen=True):
    """An architecture. `shapes` are of the input and of what each layer makes, so one more than there are layers."""

    input: tuple[int, int, int]
    classes: tuple[str, ...]
    layers: tuple[Layer, ...]
    shapes: tuple[Shape, ...]

    @classmethod
    def of(cls, config: dict[str, Any], where: str) -> Classifier:
        """From a model's config; `where` begins an error's message.

        Raises:
            UnfedError: a layer that is not known, or layers that do not fit one another.
        """
        try:
            read = msgspec.convert(config, _Config)
        except msgspec.ValidationError as error:
            raise UnfedError(f"{where}: {error}", hint=_HINT) from error
        if math.prod(read.input) > MAX_PIXELS:
            raise UnfedError(f"{where}: an input of {math.prod(read.input):,} values is too large")
        shapes: list[Shape] = [read.input]
        for number, layer in enumerate(read.layers):
            shape = _after(layer, shapes[-1])
            if shape is None or not 0 < math.prod(shape) <= MAX_PIXELS:
                kind = type(layer).__name__.lower()
                raise UnfedError(f"{where}: layer {number} ({kind}) does not fit what comes before it, {shapes[-1]}")
            if read.model_type == "mlp" and not isinstance(layer, Flatten | Linear | Relu | Square):
                raise UnfedError(f"{where}: layer {number} is none of an mlp's", hint='its model_type would be "cnn"')
            shapes.append(shape)
        if shapes[-1] != (len(read.classes),) or len(set(read.classes)) != len(read.classes) or "" in read.classes:
            raise UnfedError(
                f"{where}: {len(read.classes)} classes for what ends in {shapes[-1]}",
                hint="the last layer gives one score for each class, and their names differ",
            )
        return cls(read.input, read.classes, read.layers, tuple(shapes))

    @property
    def weights(self) -> dict[str, Shape]:
        """Tensor → shape."""
        found: dict[str, Shape] = {}
        for number, (layer, before) in enumerate(zip(self.layers, self.shapes, strict=False)):
            if isinstance(layer, Linear | Conv):
                square = (layer.size, layer.size) if isinstance(layer, Conv) else ()
                found[f"layers.{number}.weight"] = (layer.out, before[0], *square)
                found[f"layers.{number}.bias"] = (layer.out,)
        return found

    @property
    def depth(self) -> int:
        """Layers that have weights."""
        return len(self.weights) // 2

    @property
    def width(self) -> int:
        """Values in the widest layer between input and scores."""
        return max((math.prod(shape) for shape in self.shapes[1:-1]), default=len(self.classes))


_HINT = "docs/write-a-backend.md says how a classifier of images is written"


def _after(layer: Layer, shape: Shape) -> Shape | None:
    """The shape that `layer` makes of `shape`; None where it takes another."""
    match layer:
        case Flatten():
            return (math.prod(shape),)
        case Linear():
            return (layer.out,) if len(shape) == 1 else None
        case Conv() if len(shape) == 3:
            sides = [(side + 2 * layer.padding - layer.size) // layer.stride + 1 for side in shape[1:]]
            return (layer.out, *sides) if min(shape[1:]) + 2 * layer.padding >= layer.size else None
        case AveragePool() | MaxPool() if len(shape) == 3:
            return (shape[0], *(side // layer.size for side in shape[1:]))
        case Relu() | Square():
            return shape
        case _:
            return None
