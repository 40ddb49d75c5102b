"""Model cards from a folder's config.json and safetensors headers, without torch."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from unfed.plugins import Classifier, ModelCard, UnfedError
from unfed.plugins.classifier import FAMILIES

from ..results.paths import expand
from .headers import Tensors, read_json, read_tensors

UNLIMITED = 2**30
"""The context of a model whose config names none."""

_NAMES = {
    # what a card calls it: what configs call it
    "layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "hidden": ("hidden_size", "n_embd", "d_model", "dim"),
    "vocab": ("vocab_size",),
    "context": ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length"),
}
_TIED_UNSAID = {"gpt2": True, "llama": False, "qwen2": False}
"""What a family means when its config does not say whether embedding and head are one."""
_BUFFERS = re.compile(r"(\.attn\.(bias|masked_bias)|rotary_emb\.inv_freq|\.position_ids)$")
"""Tensors that old files hold and that are no parameters."""


def read_card(folder: Path | str, name: str | None = None) -> ModelCard:
    """The card of a Hugging Face model folder.

    Args:
        name: what the record calls it; the folder's own name by default (with its parent's where it is just `model`
            or the family).
    Raises:
        UnfedError: no such folder, no config.json, no weights, or a file that is broken or cut short, naming it.
    """
    folder = expand(folder).absolute()
    if not folder.is_dir():
        raise UnfedError(
            f"there is no model folder {folder}", hint="a model folder has config.json and model.safetensors"
        )
    if not (folder / "config.json").is_file():
        raise UnfedError(f"{folder} has no config.json", hint="a model folder has config.json and model.safetensors")
    config = read_json(folder / "config.json")
    family = config.get("model_type")
    if not isinstance(family, str) or not family:
        raise UnfedError(f"{folder / 'config.json'} names no model_type")
    tensors = read_tensors(folder)
    if not tensors:
        raise UnfedError(f"{folder} holds weight files without a tensor")
    if family in FAMILIES:
        return _image_card(folder, name or _name(folder.resolve()), config, tensors)
    sizes = {what: _size(config, what, folder) for what in _NAMES}
    tied = config.get("tie_word_embeddings", _TIED_UNSAID.get(family))
    return ModelCard(
        name=name or _name(folder.resolve()),
        folder=str(folder),
        family=family,
        tied=tied if isinstance(tied, bool) else "lm_head.weight" not in tensors,
        parameters=sum(math.prod(shape) for key, (_, _, shape) in tensors.items() if not _BUFFERS.search(key)),
        config=config,
        tensors=tensors,
        layers=sizes["layers"],
        hidden=sizes["hidden"],
        vocab=sizes["vocab"],
        context=sizes["context"],
    )


def _image_card(folder: Path, name: str, config: dict[str, Any], tensors: Tensors) -> ModelCard:
    """Of a classifier of images.

    Raises:
        UnfedError: its config describes none, or the weights are of another.
    """
    classifier = Classifier.of(config, str(folder / "config.json"))
    for tensor, shape in classifier.weights.items():
        if tensor not in tensors or tensors[tensor][2] != shape:
            found = f"has the shape {list(tensors[tensor][2])}" if tensor in tensors else "is missing"
            raise UnfedError(f"{folder}: the tensor {tensor!r} {found}; config.json asks for {list(shape)}")
    return ModelCard(
        name=name,
        folder=str(folder),
        family=config["model_type"],
        layers=classifier.depth,
        hidden=classifier.width,
        vocab=len(classifier.classes),
        context=UNLIMITED,
        parameters=sum(math.prod(shape) for shape in classifier.weights.values()),
        tied=False,
        config=config,
        tensors=tensors,
        input=classifier.input,
        classes=classifier.classes,
    )


def _name(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}" if folder.name in ("model", *FAMILIES) else folder.name


def _size(config: dict[str, Any], what: str, folder: Path) -> int:
    """One number of the config, under whichever name its family uses (models with images keep it in `text_config`)."""
    inner = config.get("text_config")
    for source in (config, inner if isinstance(inner, dict) else {}):
        for key in _NAMES[what]:
            value = source.get(key)
            if value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= UNLIMITED:
                raise UnfedError(f"{folder / 'config.json'}: {key} = {value!r} is no size")
            return value
    if what == "context":
        return UNLIMITED
    family = config.get("model_type")
    unknown = "" if family in _TIED_UNSAID else f"the family {family!r} is not supported: "
    raise UnfedError(f"{unknown}{folder / 'config.json'} does not say how many {what} ({' or '.join(_NAMES[what])})")
