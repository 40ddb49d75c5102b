"""A run of a model's layers, computed by the family's own forward code over a sliced module list."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import nn
from transformers import DynamicCache

from unfed.plugins import Model, UnfedError

from .families import family_of
from .weights import fill, skeleton, tensor_name

_BLOCK, _BLOCKS = 64, 64
"""Positions whose rotary embeddings are made at once, and how many times that many are kept."""
_BY_LENGTH = frozenset({"dynamic", "longrope"})
"""Rotary embeddings of transformers whose frequencies change with the length of the text."""


class NoPositions(nn.Module):
    """Stands in for a table of position embeddings where they have been added before."""

    def __init__(self) -> None:
        super().__init__()
        self.nothing = nn.Buffer(torch.zeros(()), persistent=False)

    def forward(self, positions: torch.Tensor) -> torch.Tensor:
        return self.nothing


class Shard:
    """Layers `first` to `last` of a model (both inclusive): hidden states in, hidden states out.

    The model is built whole but without memory, so that what depends on a layer's place (its kind of attention, its
    scaling) is as in the whole; then the list is cut and renumbered, so that a cache counts from this shard's first
    layer.
    Neither the embedding nor the final norm is part of it: see `ends`.

    Attributes:
        base: the family's model, so cut.
        tensors: names of what was read.
        layers: how many.
    """

    def __init__(self, model: Model, first: int, last: int) -> None:
        family = family_of(model.card)
        if not 0 <= first <= last < model.card.layers:
            raise UnfedError(
                f"layers {first}-{last} are not within the {model.card.layers} layers of {model.card.name}"
            )
        self.first, self.last = first, last
        base = skeleton(model.card)
        config = base.config
        kept = getattr(base, family.layers)[first : last + 1]
        setattr(base, family.layers, kept)
        setattr(base, family.embedding, nn.Identity())
        setattr(base, family.norm, nn.Identity())
        if family.positions:
            setattr(base, family.positions, NoPositions())
        for module in kept.modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx -= first
        config.num_hidden_layers = len(kept)
        if getattr(config, "layer_types", None) is not None:
            config.layer_types = config.layer_types[first : last + 1]
            if hasattr(base, "has_sliding_layers"):
                base.has_sliding_layers = "sliding_attention" in config.layer_types
        if hasattr(base, "rotary_emb"):  # its frequencies are computed, not stored, and so were lost on the meta device
            base.rotary_emb = type(base.rotary_emb)(config=config)
        names = {}
        for name in base.state_dict():
            _, number, rest = name.split(".", 2)
            names[name] = tensor_name(model.card, f"{family.layers}.{int(number) + first}.{rest}")
        fill(base, model, names)
        self.tensors = tuple(names.values())
        self.layers = len(kept)
        self.base: Any = base
        self._layers: tuple[Any, ...] = tuple(kept)
        self._rotary: Any = getattr(base, "rotary_emb", None)
        # Where frequencies depend on how long the text has become, each position has its own.
        self._block = 1 if getattr(self._rotary, "rope_type", "") in _BY_LENGTH else _BLOCK
        self._turns = lru_cache(_BLOCKS)(self._turned)
        self._windows: bool = getattr(base, "has_sliding_layers", False)

    def new_cache(self) -> DynamicCache:
        """An empty KV cache for one query."""
        return DynamicCache(config=self.base.config)

    @torch.inference_mode()
    def __call__(self, hidden: torch.Tensor, cache: DynamicCache) -> torch.Tensor:
        """Run [1, t, hidden] float32, t tokens that follow those in `cache`, which grows by them."""
        if hidden.shape[1] == 1 and not self._windows:
            return self._step(hidden, cache)
        output: torch.Tensor = self.base(inputs_embeds=hidden, past_key_values=cache, use_cache=True).last_hidden_state
        return output

    def _step(self, hidden: torch.Tensor, cache: DynamicCache) -> torch.Tensor:
        """Run one token as the model's forward would, whose masks and wrappings take a small model as long as a layer.

        It may attend to all before it, so that no mask is needed.
        """
        place: dict[str, Any] = {}
        if self._rotary is not None:
            block, position = divmod(cache.get_seq_length(), self._block)
            place["position_embeddings"] = self._turns(block)[position]
        for layer in self._layers:
            hidden = layer(hidden, past_key_values=cache, use_cache=True, **place)
        return hidden

    def _turned(self, block: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """By what queries and keys are turned at each position of a block: cosines and sines [1, 1, head size].

        Made one by one they took about a tenth of a layer's time in every step of a model of 100M parameters, for each
        step finds their code swept out of the caches.
        """
        cos, sin = self._rotary(torch.zeros(1), torch.arange(block * self._block, (block + 1) * self._block)[None])
        return list(zip(cos.split(1, 1), sin.split(1, 1), strict=True))

    def warm(self) -> None:
        """Run once, so that the first query does not pay for what the libraries set up on first use."""
        cache = self.new_cache()
        for tokens in (2, 1):
            self(torch.zeros(1, tokens, self.base.config.hidden_size), cache)


def shard(model: Model, first: int, last: int) -> Shard:
    """Layers `first` to `last` of `model`, reading those tensors alone.

    Raises:
        UnfedError: a family that cannot be taken apart, layers that do not exist, or weights that do not fit.
    """
    return Shard(model, first, last)
