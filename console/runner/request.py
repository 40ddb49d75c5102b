"""What a run is asked to do, once every word of it has been checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from unfed.plugins import Emulation, Failure, Image, ModelCard

from ..results.record import Prompt
from .variants import Variant


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    max_new_tokens: int = 32
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Prompts × variants. Made by the command line and by the Compare screen.

    Attributes:
        images: those of the prompts that are images, by the prompts' ids.
        refused: why an image cannot be asked, by its prompt's id.
        template: wraps each text prompt, `{prompt}` being its text.
        links: name of the link profile, and `emulation` what it means.
        timeout: seconds per query.
        concurrency: queries in flight at once; 1 keeps timings honest.
        race: start all variants of a prompt at once (recorded as concurrency).
        audit: folder that views are recorded under, or None.
    """

    variants: tuple[Variant, ...]
    models: Mapping[str, ModelCard | tuple[ModelCard, ...]]
    prompts: tuple[Prompt, ...]
    images: Mapping[str, Image] = {}
    refused: Mapping[str, Failure] = {}
    sampling: Sampling = Sampling()
    profile: str | None = None
    template: str = "{prompt}"
    links: str | None = None
    emulation: Emulation = Emulation()
    timeout: float = 120.0
    concurrency: int = 1
    race: bool = False
    audit: Path | None = None
