"""The images among a run's prompts: read before anything starts, and held against the models that are to answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from unfed.plugins import Backend, Failure, Image, UnfedError, cards_of, misfit

from ..results.images import read_image
from ..results.record import ImageFile, Prompt
from .slots import Cards
from .variants import Variant


def takes_images(backends: Sequence[type[Backend]], models: Cards) -> bool:
    """Whether all that is run answers images, so that what is typed can only be the name of one."""
    kinds = {card.takes for backend in backends for card in cards_of(backend, models)}
    return kinds == {"image"}


def named(prompt: Prompt) -> Prompt:
    """What was typed, as the name of an image."""
    return prompt if prompt.image else Prompt(id=prompt.id, label=prompt.label, image=ImageFile(path=prompt.prompt))


def read_images(
    prompts: Sequence[Prompt],
) -> tuple[tuple[Prompt, ...], dict[str, Image], dict[str, Failure]]:
    """The prompts with the digests of their images, those images, and why others cannot be read, both by id."""
    told: list[Prompt] = []
    images: dict[str, Image] = {}
    refused: dict[str, Failure] = {}
    for prompt in prompts:
        if prompt.image is not None:
            try:
                images[prompt.id], digest = read_image(prompt.image.path)
            except UnfedError as error:
                refused[prompt.id] = error.failure
            else:
                prompt = msgspec.structs.replace(prompt, image=ImageFile(path=prompt.image.path, sha256=digest))
        told.append(prompt)
    return tuple(told), images, refused


def check_prompts(
    prompts: Sequence[Prompt],
    images: Mapping[str, Image],
    refused: Mapping[str, Failure],
    variants: Sequence[Variant],
    models: Cards,
) -> None:
    """See that at least one prompt can be asked of one variant; what others lack is their results' matter.

    Raises:
        UnfedError: none can, for the reason of the first.
    """
    reasons: list[UnfedError] = []
    for prompt in prompts:
        for variant in variants:
            fault = refused.get(prompt.id)
            reason = UnfedError.of(fault) if fault else misfit(images.get(prompt.id), cards_of(variant.backend, models))
            if reason is None:
                return
            reasons.append(reason)
    if reasons:
        raise reasons[0]
