"""Finds the ranges of a model's numbers by running it on random tokens: never on anybody's prompt."""

from __future__ import annotations

from typing import Any

import torch

from .scales import Ranges

SEQUENCES, TOKENS = 8, 48
ROOM = 16.0
"""How many times larger, or smaller, a mean square may be than any seen here."""
MORE = 1.25
"""How many times larger a score or gate may be than any seen here, at least; ranges are powers of two."""
LARGEST_SCORE = 12.0
"""Above this, sums of exponentials would not fit their tables."""


def calibrate(model: Any, seed: int = 0) -> Ranges:
    """Ranges of a whole `transformers` model of a family that can be taken apart.

    Args:
        seed: of the random tokens. They are no secret.
    """
    watch = _Watch(model)
    generator = torch.Generator().manual_seed(seed)
    tokens = min(TOKENS, int(model.config.max_position_embeddings))
    with torch.inference_mode():
        model(torch.randint(0, model.config.vocab_size, (SEQUENCES, tokens), generator=generator))
    watch.stop()
    squares = tuple((low / ROOM, high * ROOM) for low, high in watch.squares)
    gate = max(16.0, 2.0 ** float(torch.tensor(MORE * watch.gate).log2().ceil()))
    return Ranges(squares, (-16.0, LARGEST_SCORE), (2.0**-4, 2.0**15), gate)


class _Watch:
    """Notes what goes into normalisers and activation functions."""

    def __init__(self, model: Any) -> None:
        self.squares: list[tuple[float, float]] = []
        self.gate = 0.0
        self._hooks = []
        base = model.base_model
        centred = model.config.model_type == "gpt2"
        for name, module in base.named_modules():
            if name.endswith(("layernorm", "ln_1", "ln_2")) or name in ("norm", "ln_f"):
                place = len(self.squares)
                self.squares.append((0.0, 0.0))
                self._hooks.append(module.register_forward_pre_hook(self._square(place, centred)))
            elif name.endswith(("gate_proj", "c_fc")):
                self._hooks.append(module.register_forward_hook(self._gate))

    def stop(self) -> None:
        for hook in self._hooks:
            hook.remove()

    def _square(self, place: int, centred: bool) -> Any:
        def note(module: Any, arguments: Any) -> None:
            x = arguments[0].double()
            if centred:
                x = x - x.mean(-1, keepdim=True)
            squares = (x * x).mean(-1)
            squares = squares[squares > 0]  # a padding token's embedding may be zero
            self.squares[place] = float(squares.min()), float(squares.max())

        return note

    def _gate(self, module: Any, arguments: Any, output: torch.Tensor) -> None:
        self.gate = max(self.gate, float(output.abs().max()))
