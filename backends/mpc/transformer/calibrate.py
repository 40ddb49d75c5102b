"""Finds the ranges of a model's numbers by running it on random tokens: never on anybody's prompt.

Where there are only the first layers of one, rows of the embedding take the place of its head: what those layers leave
is read as it stands (nostalgebraist, "interpreting GPT: the logit lens", 2020), for texts that somehow hang together.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from .scales import Ranges

SEQUENCES, TOKENS, GIVEN = 16, 64, 3
"""How many texts there are, how long, and how many random tokens they begin with: the model writes the rest itself."""
ROOM = 16.0
"""How many times larger, or smaller, a mean square may be than any seen here."""
OWN = (-43.0, 20.5)
"""Scores less a token's score with itself, where these spread no wider."""
LARGEST = (-30.0, 0.5)
"""Scores less the largest one: what lies far below it does not count."""
LOWER, HIGHER = 15.0, 3.0
"""By how much scores may spread wider than seen here."""
TOTAL = 2.0**30
"""Largest sum of exponentials."""


def calibrate(model: Any, context: int, softmax: str = "auto", seed: int = 0) -> Ranges:
    """Ranges of a `transformers` model of a family that can be taken apart.

    Args:
        model: whole, or what `beginning` makes.
        softmax: `auto`, `own` or `maximum`: what is taken off scores.
        seed: of the random tokens. They are no secret.
    """
    model.set_attn_implementation("eager")  # whose softmax can be seen
    watch = _Watch(model)
    generator = torch.Generator().manual_seed(seed)
    tokens = min(TOKENS, context)
    with torch.no_grad():
        random = torch.randint(0, model.config.vocab_size, (SEQUENCES, tokens), generator=generator)
        written = _written(model, random[:, : min(GIVEN, tokens)], tokens, generator)
        with watch, watch.scores:
            model(random)
            model(written)
    squares = tuple((low / ROOM, high * ROOM) for low, high in watch.squares)
    low, high = watch.scores.low - LOWER, watch.scores.high + HIGHER
    if softmax == "own" or (softmax == "auto" and high <= OWN[1]):
        # A token's score with itself adds e^0: no sum is below 1.
        return Ranges(squares, OWN, (0.98, TOTAL), maximum=False, cut=low < OWN[0])
    return Ranges(squares, LARGEST, (0.7, 1.4 * context), maximum=True, cut=True)


def _written(model: Any, ids: torch.Tensor, tokens: int, generator: torch.Generator) -> torch.Tensor:
    """`ids` [n, t] and what the model goes on with, token by token as likely as it finds them: [n, tokens]."""
    output = model(ids, use_cache=True)
    while ids.shape[1] < tokens:
        chances = torch.softmax(_logits(model, output)[:, -1].double(), -1)
        new = torch.multinomial(chances, 1, generator=generator)
        ids = torch.cat([ids, new], 1)
        output = model(new, past_key_values=output.past_key_values, use_cache=True)
    return ids


def _logits(model: Any, output: Any) -> Any:
    if "logits" in output:
        return output.logits
    return output.last_hidden_state @ model.get_input_embeddings().weight.T


class _Watch:
    """Notes what goes into normalisers and softmax."""

    def __init__(self, model: Any) -> None:
        self.squares: list[tuple[float, float]] = []
        self.scores = _Scores()
        self._hooks: list[Any] = []
        self._model = model

    def __enter__(self) -> None:
        base = self._model.base_model
        centred = self._model.config.model_type == "gpt2"
        for name, module in base.named_modules():
            if isinstance(module, nn.Identity):
                continue  # a norm that the first layers go without
            if name.endswith(("layernorm", "ln_1", "ln_2")) or name in ("norm", "ln_f"):
                place = len(self.squares)
                self.squares.append((float("inf"), 0.0))
                self._hooks.append(module.register_forward_pre_hook(self._square(place, centred)))

    def __exit__(self, *exception: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _square(self, place: int, centred: bool) -> Any:
        def note(module: Any, arguments: Any) -> None:
            x = arguments[0].double()
            if centred:
                x = x - x.mean(-1, keepdim=True)
            squares = (x * x).mean(-1)
            squares = squares[squares > 0]  # a padding token's embedding may be zero
            low, high = self.squares[place]
            self.squares[place] = min(low, float(squares.min())), max(high, float(squares.max()))

        return note


class _Scores(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Attention scores less each token's own: the lowest and the highest."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.low = self.high = 0.0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        if function is torch.ops.aten._softmax.default:
            scores = arguments[0].double()
            seen = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
            scores = scores - scores.diagonal(dim1=-2, dim2=-1)[..., None]
            self.low = min(self.low, float(scores[..., seen].min()))
            self.high = max(self.high, float(scores[..., seen].max()))
        return function(*arguments, **(named or {}))
