"""Trains the digits models: a small MLP and a small CNN on scikit-learn's bundled 8×8 digits.

    python profiles/digits_training/train.py --out profiles/digits

It writes `mlp/`, `cnn/`, and with `--prompts` also the held-out images that the profile asks. One thread and a fixed
seed: the same machine and libraries give the same models. It takes about a minute.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch
from data import CLASSES, Digits, load  # type: ignore[import-not-found, unused-ignore]  # beside this script
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional as F

from unfed.backends.common.classifier import Network
from unfed.plugins import Classifier

BATCH, RATE, DECAY, SMOOTHING = 64, 2e-3, 0.05, 0.05
SHIFT = {"mlp": 0, "cnn": 1}
"""Pixels by which an image is moved at random in training; so small an MLP cannot learn to overlook it."""
EACH = 7
"""Held-out images of each digit among the prompts."""
MODELS: dict[str, list[dict[str, Any]]] = {
    "mlp": [
        {"kind": "flatten"},
        {"kind": "linear", "out": 64},
        {"kind": "relu"},
        {"kind": "linear", "out": 32},
        {"kind": "relu"},
        {"kind": "linear", "out": 10},
    ],
    "cnn": [
        {"kind": "conv", "out": 8, "size": 3, "padding": 1},
        {"kind": "relu"},
        {"kind": "conv", "out": 16, "size": 3, "padding": 1},
        {"kind": "relu"},
        {"kind": "average_pool", "size": 2},
        {"kind": "flatten"},
        {"kind": "linear", "out": 10},
    ],
}


def moved(images: torch.Tensor, shift: int, generator: torch.Generator) -> torch.Tensor:
    """Each image moved by up to `shift` pixels, what enters being dark."""
    padded = F.pad(images, [shift] * 4)
    steps = torch.randint(0, 2 * shift + 1, (len(images), 2), generator=generator)
    side = images.shape[-1]
    return torch.stack(
        [each[:, y : y + side, x : x + side] for each, (y, x) in zip(padded, steps.tolist(), strict=True)]
    )


def train(network: Network, digits: Digits, shift: int, epochs: int, seed: int) -> None:
    """Trains the network in place."""
    generator = torch.Generator().manual_seed(seed)
    images, labels = digits.images, digits.labels
    steps = epochs * math.ceil(len(images) / BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(epochs):
        for places in torch.randperm(len(images), generator=generator).split(BATCH):
            scores = network(moved(images[places], shift, generator))
            loss = F.cross_entropy(scores, labels[places], label_smoothing=SMOOTHING)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
            optimizer.step()
            schedule.step()


def write_model(folder: Path, config: dict[str, Any], network: Network) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / "model.safetensors")


def write_prompts(folder: Path, digits: Digits) -> None:
    """`EACH` images of each digit as 8-bit grey PNG files, the digits in turn, and the prompts file that names them."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    of = {digit: [n for n, label in enumerate(digits.labels.tolist()) if label == digit][:EACH] for digit in range(10)}
    lines = []
    for turn in range(EACH):
        for digit in range(10):
            place = of[digit][turn]
            name = f"images/{digits.numbers[place]:04d}.png"
            Image.fromarray(digits.grey[place]).save(folder / name)
            lines.append(json.dumps({"id": f"d{len(lines) + 1:02d}", "image": name, "label": CLASSES[digit]}))
    (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder that the models are written under")
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--prompts", action="store_true", help="write the profile's images and prompts too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    training, held_out = load()
    if arguments.prompts:
        write_prompts(arguments.out, held_out)
    for family, layers in MODELS.items():
        torch.manual_seed(arguments.seed)
        config = {"model_type": family, "input": [1, 8, 8], "classes": list(CLASSES), "layers": layers}
        network = Network(Classifier.of(config, family))
        train(network, training, SHIFT[family], arguments.epochs, arguments.seed)
        write_model(arguments.out / family, config, network)
        print(f"{family}: {sum(each.numel() for each in network.parameters()):,} parameters", flush=True)
    print(f"Written to {arguments.out}; measure them with evaluate.py beside this script")


if __name__ == "__main__":
    main()
