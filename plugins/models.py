"""Model cards: what is known of a model from config.json and safetensors headers alone, without torch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from .errors import UnfedError
from .image import QueryKind

_LLAMA = (r"(model\.)?embed_tokens\.", r"(?:model\.)?layers\.(\d+)\.", r"lm_head\.|(model\.)?norm\.")
_GPT2 = (
    r"(transformer\.)?(wte|wpe)\.",
    r"(?:transformer\.)?h\.(\d+)\.",
    r"lm_head\.|(transformer\.)?ln_f\.",
)

FAMILIES = {"llama": _LLAMA, "qwen2": _LLAMA, "gpt2": _GPT2}
"""Families whose tensors we can tell apart, with patterns for the names of embedding, layers (and number) and head.

Others can be opened whole only.
"""

_LAYERS = re.compile(r"layers (\d+)-(\d+)")


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """A model as plans see it. `tensors` maps a tensor's name to (file, dtype, shape).

    Of a classifier of images (see `classifier`), `input` is channels, height and width, `classes` are their names,
    `vocab` is how many, `hidden` the widest layer and `layers` how many have weights. Of other models both are empty.
    """

    name: str
    folder: str
    family: str
    layers: int
    hidden: int
    vocab: int
    context: int
    parameters: int
    tied: bool
    config: dict[str, Any]
    tensors: dict[str, tuple[str, str, tuple[int, ...]]]
    input: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        return Path(self.folder)

    @property
    def takes(self) -> QueryKind:
        """What it answers."""
        return "image" if self.input else "text"

    def part_of(self, tensor: str) -> str:
        """`embedding`, `layer N` or `head`: where a tensor belongs; `other` where the family is unknown."""
        patterns = FAMILIES.get(self.family)
        if patterns is None:
            return "other"
        embedding, layer, head = patterns
        if re.match(embedding, tensor):
            return "embedding"
        if found := re.match(layer, tensor):
            return f"layer {found.group(1)}"
        return "head" if re.match(head, tensor) else "other"

    def opened(self, opens: Iterable[str]) -> frozenset[str]:
        """Names of the tensors that a party with these `opens` may read.

        Args:
            opens: any of `none`, `config`, `embedding`, `layers A-B` (inclusive), `head`, `all`.
        Raises:
            UnfedError: a part that does not exist, or parts of a family that we cannot take apart.
        """
        wanted: set[str] = set()
        for part in opens:
            if part == "all":
                return frozenset(self.tensors)
            if part in ("none", "config"):
                continue
            if part in ("embedding", "head"):
                wanted.add(part)
            elif found := _LAYERS.fullmatch(part):
                first, last = int(found.group(1)), int(found.group(2))
                if not 0 <= first <= last < self.layers:
                    raise UnfedError(f"{part!r} is not within the {self.layers} layers of {self.name}")
                wanted.update(f"layer {index}" for index in range(first, last + 1))
            else:
                raise UnfedError(
                    f"{part!r} is no part of a model", hint="use none, config, embedding, layers A-B, head, all"
                )
        if wanted and self.family not in FAMILIES:
            raise UnfedError(
                f"{self.name} is of the family {self.family!r}, which cannot be taken apart",
                hint=f"use backend plain, or a model of {', '.join(sorted(FAMILIES))}",
            )
        names = {name for name in self.tensors if self.part_of(name) in wanted}
        if self.tied and wanted & {"embedding", "head"}:  # one matrix is both, under either name
            names.update(name for name in self.tensors if re.search(r"(embed_tokens|wte|lm_head)\.weight$", name))
        return frozenset(names)


def layers(first: int, last: int) -> str:
    """The part `layers first-last`, both inclusive, as it stands in `Party.opens`."""
    return f"layers {first}-{last}"


def split_evenly(count: int, shards: int) -> list[tuple[int, int]]:
    """`count` layers over `shards` nodes as inclusive ranges, the first ones one longer where it does not divide.

    Raises:
        UnfedError: fewer layers than shards, or no shard.
    """
    if not 1 <= shards <= count:
        raise UnfedError(f"{count} layers cannot be split over {shards} nodes", hint=f"choose 1 to {count} shards")
    base, longer = divmod(count, shards)
    ranges, first = [], 0
    for index in range(shards):
        length = base + (index < longer)
        ranges.append((first, first + length - 1))
        first += length
    return ranges
