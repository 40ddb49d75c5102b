"""A classifier of images as a program over CrypTen's tensors: a shared image in, shares of the scores out.

Weights are public to both ranks, so that convolutions and linear layers need no triples: each rank computes them on its
own share.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn import functional as F

from unfed.plugins import Classifier, UnfedError
from unfed.plugins.classifier import AveragePool, Conv, Flatten, Layer, Linear, MaxPool, Relu, Square

from .functions import maximum
from .transformer import Tensor, fixed

HIGHEST = 2.0**30
"""Products carry twice `PRECISION` bits after the point, and 64 bits hold them with a sign: nothing may be larger."""


class Network:
    """One model.

    Args:
        weights: tensor → values, as the architecture names them.
    Raises:
        UnfedError: weights too large for fixed point, or numbers that could leave the ring.
    """

    def __init__(self, classifier: Classifier, weights: Mapping[str, torch.Tensor]) -> None:
        self.classifier = classifier
        self._weights = {name: fixed(value.float()) for name, value in weights.items()}
        self.limit = self._limit()

    def scores(self, image: Tensor) -> Tensor:
        """Scores [classes] of an image [1, channels, height, width]."""
        x = image
        for number, layer in enumerate(self.classifier.layers):
            match layer:
                case Flatten():
                    x = x.reshape(-1)
                case Linear():
                    x = x.matmul(self._weight(number).t()) + self._bias(number)
                case Conv():
                    x = x.conv2d(self._weight(number), stride=layer.stride, padding=layer.padding)
                    x = x + self._bias(number)[:, None, None]
                case AveragePool():
                    x = x.avg_pool2d(layer.size)
                case MaxPool():
                    x = maximum(_windows(x, layer.size)).squeeze(-1)
                case Relu():
                    x = x.relu()
                case Square():
                    x = x.square()
        return x

    def _weight(self, number: int) -> torch.Tensor:
        return self._weights[f"layers.{number}.weight"]

    def _bias(self, number: int) -> torch.Tensor:
        return self._weights[f"layers.{number}.bias"]

    def _limit(self) -> float:
        """What no score of any image exceeds, by interval arithmetic layer by layer, with 1% and 1 for rounding.

        Raises:
            UnfedError: on the way there a number could be larger than `HIGHEST`.
        """
        low, high = torch.zeros(1, *self.classifier.input).double(), torch.ones(1, *self.classifier.input).double()
        for number, layer in enumerate(self.classifier.layers):
            low, high = self._bounds(number, layer, low, high)
            largest = float(torch.maximum(low.abs(), high.abs()).max()) * 1.01 + 1
            if not largest < HIGHEST:
                raise UnfedError(f"layer {number} of the model can give numbers of {largest:g}: too large for CrypTen")
        return largest

    def _bounds(
        self, number: int, layer: Layer, low: torch.Tensor, high: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What `layer` makes of values between `low` and `high`, whatever they are."""
        match layer:
            case Linear() | Conv():
                weight, bias = self._weight(number).double(), self._bias(number).double()

                def apply(x: torch.Tensor, part: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
                    if isinstance(layer, Linear):
                        return F.linear(x, part, bias)
                    return F.conv2d(x, part, bias, layer.stride, layer.padding)

                up, down = weight.clamp(min=0), weight.clamp(max=0)
                return apply(low, up, bias) + apply(high, down), apply(high, up, bias) + apply(low, down)
            case Square():
                ends = torch.stack([low.square(), high.square()])
                return torch.where((low <= 0) & (high >= 0), 0.0, ends.amin(0)), ends.amax(0)
            case Flatten():
                return low.flatten(1), high.flatten(1)
            case AveragePool():
                return F.avg_pool2d(low, layer.size), F.avg_pool2d(high, layer.size)
            case MaxPool():
                return F.max_pool2d(low, layer.size), F.max_pool2d(high, layer.size)
            case Relu():
                return low.clamp(min=0), high.clamp(min=0)


def _windows(x: Tensor, size: int) -> Tensor:
    """[n, channels, height, width] as [n, channels, rows, columns, size²]; what fills no square is left out."""
    rows, columns = x.shape[2] // size, x.shape[3] // size
    x = x[:, :, : rows * size, : columns * size].reshape(*x.shape[:2], rows, size, columns, size)
    return x.transpose(3, 4).reshape(x.shape[0], x.shape[1], rows, columns, size * size)
