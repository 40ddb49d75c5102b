"""The two ends of a model as modules of their own, to run at the client or at the first and last node."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from unfed.plugins import Model

from .families import family_of
from .weights import fill, skeleton, tensor_name

HEAD = "lm_head.weight"


class Embedding(nn.Module):
    """Token ids → hidden states; GPT-2's position embeddings are added here, once and for all."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        family, base = family_of(model.card), skeleton(model.card)
        self.tokens = getattr(base, family.embedding)
        self.positions = getattr(base, family.positions) if family.positions else None
        matrix = (f"{family.embedding}.weight", *((HEAD,) if model.card.tied else ()))
        names = {"tokens.weight": tensor_name(model.card, *matrix)}
        if family.positions:
            names["positions.weight"] = tensor_name(model.card, f"{family.positions}.weight")
        fill(self, model, names)
        self.opened = tuple(names.values())

    @torch.inference_mode()
    def forward(self, ids: torch.Tensor, start: int) -> torch.Tensor:
        """Embed ids [1, t] at positions `start`, `start` + 1, …: [1, t, hidden] float32."""
        hidden: torch.Tensor = self.tokens(ids)
        if self.positions is not None:
            hidden = hidden + self.positions(torch.arange(start, start + ids.shape[1])[None])
        return hidden


class Head(nn.Module):
    """Final norm and output matrix: the last hidden state → logits. A tied head uses the embedding's matrix."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        family, base = family_of(model.card), skeleton(model.card)
        self.norm: Any = getattr(base, family.norm)
        with torch.device("meta"):
            self.lm_head = nn.Linear(model.card.hidden, model.card.vocab, bias=False)
        matrix = (HEAD, *((f"{family.embedding}.weight",) if model.card.tied else ()))
        names = {"lm_head.weight": tensor_name(model.card, *matrix)}
        for name in self.norm.state_dict():
            names[f"norm.{name}"] = tensor_name(model.card, f"{family.norm}.{name}")
        fill(self, model, names)
        self.opened = tuple(names.values())

    @torch.inference_mode()
    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits [vocab] float32 after the last of [1, t, hidden]."""
        logits: torch.Tensor = self.lm_head(self.norm(hidden[:, -1:]))
        return logits[0, 0]
