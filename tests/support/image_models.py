"""Classifiers of images with random weights, and random images, for tests: nothing is downloaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from unfed.backends.common.classifier import Network
from unfed.plugins import Classifier, Image

EVERY_KIND: tuple[dict[str, Any], ...] = (
    {"kind": "conv", "out": 4, "size": 3, "stride": 2, "padding": 1},
    {"kind": "relu"},
    {"kind": "max_pool", "size": 2},
    {"kind": "square"},
    {"kind": "conv", "out": 6, "size": 2},
    {"kind": "average_pool", "size": 2},
    {"kind": "flatten"},
    {"kind": "linear", "out": 5},
)
"""Takes 2 × 17 × 14: odd sides, so that pools leave a border out."""
SHAPE = (2, 17, 14)


def save_classifier(
    folder: Path,
    layers: Sequence[dict[str, Any]] = EVERY_KIND,
    shape: tuple[int, int, int] = SHAPE,
    *,
    classes: int = 5,
    family: str = "cnn",
    seed: int = 0,
    loud: float = 1.0,
) -> Path:
    """A model folder; weights are `loud` times as large as torch draws them."""
    config = {"model_type": family, "input": shape, "classes": [f"class {n}" for n in range(classes)]}
    config["layers"] = list(layers)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    torch.manual_seed(seed)
    network = Network(Classifier.of(json.loads((folder / "config.json").read_text()), "random"))
    save_file({name: loud * value for name, value in network.state_dict().items()}, folder / "model.safetensors")
    return folder


def random_image(shape: tuple[int, ...] = SHAPE, seed: int = 0) -> Image:
    channels, height, width = shape
    values = np.random.default_rng(seed).random(shape, np.float32)
    return Image(shape=(channels, height, width), pixels=values.astype("<f4").tobytes())
