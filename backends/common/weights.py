"""Fills modules that were built without memory with the tensors that belong to them, and no others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import transformers
from torch import nn

from unfed.plugins import Model, ModelCard, UnfedError

from .families import family_of

DTYPE = torch.float32
"""What every backend computes in, whatever the checkpoint stores: where two differ, it is then by their own doing."""
_LARGE = 1 << 19
"""Elements of a matrix that is read from memory each time: two megabytes, more than a core's own cache."""


def skeleton(card: ModelCard) -> Any:
    """The family's model without its head, on the meta device: modules, but no memory.

    Raises:
        UnfedError: a family that cannot be taken apart, or a config that its class refuses.
    """
    family = family_of(card)
    try:
        config = transformers.AutoConfig.from_pretrained(card.path, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            return getattr(transformers, family.base)(config)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnfedError(f"the config of {card.name} does not describe a {card.family} model: {error}") from error


def tensor_name(card: ModelCard, *names: str) -> str:
    """The first of `names` that the checkpoint holds, with or without its family's prefix.

    Raises:
        UnfedError: it holds none of them.
    """
    prefix = family_of(card).prefix
    for name in names:
        for candidate in (prefix + name, name):
            if candidate in card.tensors:
                return candidate
    raise UnfedError(
        f"the weights of {card.name} lack the tensor {names[0]!r}",
        hint="is the checkpoint complete, and of the architecture that its config names?",
    )


def fill(module: nn.Module, model: Model, names: Mapping[str, str]) -> None:
    """Give `module` its weights in float32 and set it to inference.

    Args:
        names: parameter of `module` → tensor of the checkpoint; only these are read.
    Raises:
        UnfedError: a tensor of another shape than the config says, or of a type that is no float.
    """
    shapes = {name: tuple(value.shape) for name, value in module.state_dict(keep_vars=True).items()}
    name = model.card.name
    for parameter, tensor in names.items():
        stored, told = tuple(model.card.tensors[tensor][2]), shapes[parameter]
        if stored != told:
            raise UnfedError(f"the tensor {tensor!r} of {name} has shape {stored}, its config says {told}")
    read = model.tensors(*dict.fromkeys(names.values()))
    for tensor, value in read.items():
        if not value.dtype.is_floating_point:
            raise UnfedError(f"the tensor {tensor!r} of {name} is stored as {value.dtype}, which is no float")
    weights = {parameter: read[tensor].to(DTYPE) for parameter, tensor in names.items()}
    module.load_state_dict(weights, strict=True, assign=True)
    module.requires_grad_(False).eval()
    for each in module.modules():
        if isinstance(each, nn.Linear):
            _lay_out(each)


def _lay_out(linear: nn.Linear) -> None:
    """Store a matrix column by column where a token's product with it is then read up to twice as fast.

    That is where it widens and does not fit a cache. The product is the same but for the order of its sums.
    """
    if linear.weight.numel() >= _LARGE and linear.out_features >= linear.in_features:
        linear.weight = nn.Parameter(linear.weight.t().contiguous().t(), requires_grad=False)
