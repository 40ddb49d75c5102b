"""From logits to tokens: greedy, or drawn with a seed, until something ends the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch

from unfed.plugins import Query, UnfedError

from .generation import Generation

Stopped = Literal["end", "length", "context"]


class Sampler:
    """Takes one answer's tokens, wherever its logits come to light: at the client, or at a server.

    Greedy at `temperature` 0. Otherwise a token is drawn from the smallest set of likeliest tokens that together reach
    `top_p`, by one uniform number per token from a generator of its own: same seed and logits, same tokens.

    Args:
        prompt: the prompt's token ids.
        context: how many positions the model has; 0 for no limit.
    """

    def __init__(
        self,
        generation: Generation,
        prompt: Sequence[int],
        *,
        max_new_tokens: int,
        context: int = 0,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> None:
        if max_new_tokens < 1:
            raise UnfedError(f"an answer of {max_new_tokens} tokens cannot be generated", hint="ask for 1 or more")
        if not (temperature >= 0 and 0 < top_p <= 1):
            raise UnfedError(
                f"cannot sample at temperature {temperature:g} and top-p {top_p:g}",
                hint="temperature is 0 or more; top-p is above 0 and at most 1",
            )
        self._ends = frozenset(generation.ends)
        self._processors = generation.processors(prompt, max_new_tokens)
        self._ids = list(prompt)
        self._asked = len(prompt)
        self._most = max_new_tokens
        self._context = context
        self._temperature = temperature
        self._top_p = top_p
        self._generator = torch.Generator().manual_seed(seed % 2**64)
        self.stopped: Stopped | None = None

    @classmethod
    def of(cls, query: Query, generation: Generation, prompt: Sequence[int], context: int) -> Sampler:
        """The sampler that a query asks for."""
        return cls(
            generation,
            prompt,
            max_new_tokens=query.max_new_tokens,
            context=context,
            temperature=query.temperature,
            top_p=query.top_p,
            seed=query.seed,
        )

    @property
    def tokens(self) -> list[int]:
        """What was taken so far, an end token included."""
        return self._ids[self._asked :]

    @torch.inference_mode()
    def take(self, logits: torch.Tensor) -> int:
        """The next token after `logits` [vocab] float32; sets `stopped` where it is the last."""
        if self._processors:
            ids: Any = torch.tensor([self._ids])
            scores: Any = logits[None].clone()
            logits = self._processors(ids, scores)[0]
        token = self._draw(logits) if self._temperature else int(logits.argmax())
        self._ids.append(token)
        if token in self._ends:
            self.stopped = "end"
        elif len(self._ids) - self._asked >= self._most:
            self.stopped = "length"
        elif self._context and len(self._ids) > self._context:  # no position is left to run this token at
            self.stopped = "context"
        return token

    def _draw(self, logits: torch.Tensor) -> int:
        """In float64, so that logits that differ by rounding alone hardly ever give another token."""
        chances, order = torch.softmax(logits.double() / self._temperature, -1).sort(descending=True, stable=True)
        reached = chances.cumsum(-1)
        kept = max(1, int((reached - chances < self._top_p).sum()))
        aim = torch.rand((), generator=self._generator, dtype=torch.float64) * reached[kept - 1]
        place = int(torch.searchsorted(reached[:kept], aim, right=True))
        return int(order[min(place, kept - 1)])
