"""Classifiers of images as torch modules, and what a client makes of an image and of its scores."""

from __future__ import annotations

import torch
from torch import nn

from unfed.plugins import Answer, Classifier, Model, ModelCard, Query, Token, UnfedError
from unfed.plugins.classifier import AveragePool, Conv, Flatten, Layer, Linear, MaxPool, Relu, Square

from .weights import fill


class Network(nn.Module):
    """The layers of an architecture, their weights named as in the model's file."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        before = classifier.shapes[:-1]
        self.layers = nn.Sequential(*map(_module, classifier.layers, before))

    @classmethod
    def of(cls, model: Model) -> Network:
        """The whole model in float32, set to inference."""
        classifier = Classifier.of(model.card.config, model.card.name)
        with torch.device("meta"):
            network = cls(classifier)
        fill(network, model, {name: name for name in classifier.weights})
        return network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores [n, classes] of images [n, channels, height, width]."""
        scores: torch.Tensor = self.layers(images)
        return scores


class _Square(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.square()


def _module(layer: Layer, before: tuple[int, ...]) -> nn.Module:
    """One layer, after something of shape `before`."""
    match layer:
        case Flatten():
            return nn.Flatten()
        case Linear():
            return nn.Linear(before[0], layer.out)
        case Conv():
            return nn.Conv2d(before[0], layer.out, layer.size, layer.stride, layer.padding)
        case AveragePool():
            return nn.AvgPool2d(layer.size)
        case MaxPool():
            return nn.MaxPool2d(layer.size)
        case Relu():
            return nn.ReLU()
        case Square():
            return _Square()


def pixels(query: Query) -> torch.Tensor:
    """The query's image [channels, height, width] float32.

    Raises:
        UnfedError: it holds none.
    """
    if query.image is None:
        raise UnfedError("the prompt is no image", hint="give an image")
    return torch.tensor(query.image.numpy())


def check_scores(scores: object, card: ModelCard, sender: str) -> torch.Tensor:
    """The scores [classes] float32 that somebody sent.

    Raises:
        UnfedError: (`protocol`) they are none.
    """
    if not (isinstance(scores, torch.Tensor) and scores.shape == (card.vocab,) and scores.dtype is torch.float32):
        raise UnfedError(f"{sender} sent what are no scores of {card.vocab} classes", kind="protocol", party=sender)
    return scores


def answered(card: ModelCard, scores: torch.Tensor, query: Query) -> tuple[Token, Answer]:
    """What a client yields for scores [classes] float32: the class with the largest, and the whole answer."""
    best = int(scores.argmax())
    name = card.classes[best]
    logits = scores.numpy().tobytes() if query.logits else None
    return Token(id=best, text=name, logits=logits), Answer(text=name, token_ids=(best,))
