"""The families of models that we take apart, and where their parts lie. Imports nothing heavy."""

from __future__ import annotations

from typing import NamedTuple

from unfed.plugins import ModelCard, UnfedError


class Family(NamedTuple):
    """Names inside the transformers class of a family.

    Attributes:
        base: class of the model without its head, as `transformers` exports it.
        prefix: what stands before tensor names in checkpoints that were saved with a head.
        layers: the module list; `embedding`, `positions` (empty where there are none) and `norm` likewise.
    """

    base: str
    prefix: str
    layers: str
    embedding: str
    norm: str
    positions: str = ""


FAMILIES = {
    "llama": Family("LlamaModel", "model.", "layers", "embed_tokens", "norm"),
    "qwen2": Family("Qwen2Model", "model.", "layers", "embed_tokens", "norm"),
    "gpt2": Family("GPT2Model", "transformer.", "h", "wte", "ln_f", "wpe"),
}


def family_of(card: ModelCard) -> Family:
    """The family of a model that can be taken apart.

    Raises:
        UnfedError: another family, or quantised weights.
    """
    if (family := FAMILIES.get(card.family)) is None:
        raise UnfedError(
            f"{card.name} is of the family {card.family!r}, which cannot be taken apart",
            hint=f"use backend plain, or a model of {', '.join(sorted(FAMILIES))}",
        )
    if card.config.get("quantization_config"):
        raise UnfedError(
            f"{card.name} is quantised; a model is taken apart from float weights only",
            hint="use backend plain, or the same model in float16, bfloat16 or float32",
        )
    return family
