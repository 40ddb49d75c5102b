"""Prompts that hold canaries: words and token ids that nothing but a leak would bring to a node."""

from __future__ import annotations

import json
import math
import random
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from ..image import Image
from ..models import ModelCard

Asked = str | Image
"""What a query holds."""
Floats = np.ndarray[Any, np.dtype[np.float32]]

_ONSETS = (*"bdfgjklmnpqrstvwxz", "br", "dr", "fl", "gr", "kl", "pr", "qu", "sk", "tr", "vl", "zw")
_VOWELS = (*"aeiouy", "ai", "eu", "oa")
_NUMPY = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "BF16": "<u2"}


class Canary(msgspec.Struct, frozen=True):
    """One planted prompt. `ids` are its tokens as the model's tokenizer gives them, empty where there is none."""

    prompt: str
    words: tuple[str, ...]
    ids: tuple[int, ...] = ()
    image: Image | None = None

    @property
    def asked(self) -> Asked:
        """What the query holds."""
        return self.image or self.prompt


class Planter:
    """Makes canaries for a model, and knows how its embedding would show them.

    Args:
        card: the model in the slot `model`; None for a backend that needs none.
    """

    def __init__(self, card: ModelCard | None) -> None:
        self.card = card

    def plant(self, number: int) -> Canary:
        """Prompt `number`: always the same, and unlike all others."""
        chance = random.Random(f"canary {number}")
        if self.card is not None and self.card.takes == "image":
            return Canary("", (), image=noise(chance, self.card.input))
        words = [_word(chance) for _ in range(4)]
        tokenizer = self._tokenizer
        if tokenizer is None:
            return Canary(" ".join(words), tuple(words))
        most = min(48, self.card.context // 3) if self.card else 48
        for kept in (2, 1):
            prompt = " ".join(words[:kept] + self._vocabulary(chance, 6))
            while len(ids := self.ids(prompt)) > most and " " in prompt:
                prompt = prompt.rpartition(" ")[0]
            if words[kept - 1] in prompt:
                break
        return Canary(prompt, tuple(word for word in words if word in prompt), ids)

    def unaskable(self, good: Asked) -> dict[str, Asked]:
        """What no backend can answer with this model, by what is wrong with it; made of a `good` prompt."""
        tried: dict[str, Asked] = {"an empty prompt": "", "a blank prompt": " \n"}
        if isinstance(good, Image):
            channels, height, width = good.shape
            tried["a text"] = "a word"
            tried["an image of another size"] = Image(shape=(channels, height * 2, width), pixels=good.pixels * 2)
            tried["an image cut short"] = Image(shape=good.shape, pixels=good.pixels[:-4])
            tried["an image of no numbers"] = Image(shape=good.shape, pixels=b"\xff" * len(good.pixels))
        elif self.card is not None and self.card.context <= 1 << 18:
            most = self.card.context
            tried[f"a prompt over the context of {most} tokens"] = good + " word" * (most + 16)
        return tried

    def ids(self, text: str) -> tuple[int, ...]:
        """Token ids of `text`, special ones left out; empty without a tokenizer that can be read here."""
        if self._tokenizer is None:
            return ()
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def embeddings(self, ids: tuple[int, ...]) -> dict[str, Floats]:
        """What the embedding makes of `ids`: name → rows [ids, hidden]. Empty where the model's family is unknown.

        Where positions are embedded by a table (GPT-2), the rows with their positions added are given too.
        """
        if self.card is None or not ids:
            return {}
        card = self.card
        tables = [
            name
            for name in card.tensors
            if card.part_of(name) == "embedding" and card.tensors[name][1] in _NUMPY and len(card.tensors[name][2]) == 2
        ]
        tokens = next((name for name in tables if card.tensors[name][2][0] >= card.vocab), None)
        if tokens is None:
            return {}
        rows = read_rows(card, tokens, ids)
        found = {"embedding rows": rows}
        positions = next((name for name in tables if name != tokens and "wpe" in name), None)
        if positions is not None and card.tensors[positions][2][0] >= len(ids):
            found["embedding rows with positions"] = rows + read_rows(card, positions, tuple(range(len(ids))))
        return found

    @cached_property
    def _tokenizer(self) -> Any:
        if self.card is None or not (path := self.card.path / "tokenizer.json").is_file():
            return None
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(path))

    def _vocabulary(self, chance: random.Random, count: int) -> list[str]:
        """Words that the tokenizer knows, from all over its vocabulary."""
        size = self._tokenizer.get_vocab_size()
        words: list[str] = []
        for _ in range(40 * count):
            word = self._tokenizer.decode([chance.randrange(size)]).strip()
            if len(word) > 2 and word.isalpha() and word not in words:
                words.append(word)
            if len(words) == count:
                break
        return words


def noise(chance: random.Random, shape: tuple[int, ...]) -> Image:
    """An image of random pixels, each a whole number of 255ths, as in an image file."""
    channels, height, width = shape
    levels = np.array([chance.randrange(256) for _ in range(math.prod(shape))], dtype=np.float32)
    return Image(shape=(channels, height, width), pixels=(levels / np.float32(255)).astype("<f4").tobytes())


def read_rows(card: ModelCard, tensor: str, rows: tuple[int, ...]) -> Floats:
    """These rows of a matrix in a safetensors file, widened to float32; nothing else is read."""
    file, dtype, (_, width) = card.tensors[tensor]
    kind = np.dtype(_NUMPY[dtype])
    found = np.empty((len(rows), width), dtype=kind)
    with (card.path / file).open("rb") as weights:
        header = int.from_bytes(weights.read(8), "little")
        first = 8 + header + json.loads(weights.read(header))[tensor]["data_offsets"][0]
        for place, row in enumerate(rows):
            weights.seek(first + row * width * kind.itemsize)
            found[place] = np.frombuffer(weights.read(width * kind.itemsize), dtype=kind)
    if dtype == "BF16":
        return (found.astype(np.uint32) << 16).view(np.float32)
    return found.astype(np.float32)


def _word(chance: random.Random) -> str:
    """A word of at least ten letters that no language has."""
    word = ""
    while len(word) < 10:
        word += chance.choice(_ONSETS) + chance.choice(_VOWELS)
    return word
