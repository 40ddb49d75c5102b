"""What a model of a folder answers by itself, for tests that hold a fleet's answers against it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from unfed.plugins import Event, Token


class Reference:
    """The `transformers` model and tokenizer of a folder."""

    def __init__(self, folder: Path) -> None:
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)

    def greedy(self, prompt: str, tokens: int) -> list[int]:
        """Ids that `generate` goes on with."""
        ids = self.ids(prompt)
        made: list[int] = self.model.generate(ids, max_new_tokens=tokens, do_sample=False)[0, ids.shape[1] :].tolist()
        return made

    def error(self, prompt: str, events: Iterable[Event]) -> float:
        """Largest difference between the logits of an answer's tokens and the model's after the same tokens."""
        ids, errors = self.ids(prompt), []
        for token in (event for event in events if isinstance(event, Token)):
            assert token.logits is not None
            with torch.inference_mode():
                wanted = self.model(ids).logits[0, -1].numpy()
            errors.append(float(np.abs(np.frombuffer(token.logits, "<f4") - wanted).max()))
            ids = torch.cat([ids, torch.tensor([[token.id]])], 1)
        return max(errors)

    def ids(self, prompt: str) -> torch.Tensor:
        """[1, t]."""
        ids: torch.Tensor = self._tokenizer(prompt, return_tensors="pt")["input_ids"]
        return ids
