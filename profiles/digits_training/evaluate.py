"""Measures the digits models on the images that were held out, all of them and those that the profile asks.

python profiles/digits_training/evaluate.py --models profiles/digits
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from data import CLASSES, load  # type: ignore[import-not-found, unused-ignore]  # found beside this script
from PIL import Image
from safetensors.torch import load_file

from unfed.backends.common.classifier import Network
from unfed.plugins import Classifier


def opened(folder: Path) -> Network:
    config = json.loads((folder / "config.json").read_text())
    network = Network(Classifier.of(config, folder.name))
    network.load_state_dict(load_file(folder / "model.safetensors"))
    return network.eval()


@torch.inference_mode()
def right(network: Network, images: torch.Tensor, labels: Sequence[str]) -> int:
    """How many images are given their label."""
    answers = network(images).argmax(-1).tolist()
    return sum(CLASSES[answer] == label for answer, label in zip(answers, labels, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path(__file__).resolve().parent.parent / "digits")
    arguments = parser.parse_args()
    _, held_out = load()
    entries = [json.loads(line) for line in (arguments.models / "prompts.jsonl").read_text().splitlines()]
    asked = np.stack([np.asarray(Image.open(arguments.models / entry["image"]), np.float32) for entry in entries])
    measured = {
        "held out": (held_out.images, [CLASSES[label] for label in held_out.labels.tolist()]),
        "prompts": (torch.tensor(asked / np.float32(255))[:, None], [entry["label"] for entry in entries]),
    }
    for family in ("mlp", "cnn"):
        network = opened(arguments.models / family)
        for what, (images, labels) in measured.items():
            hits = right(network, images, labels)
            print(f"{family}, {what}: {hits} of {len(labels)} right ({hits / len(labels):.1%})")


if __name__ == "__main__":
    main()
