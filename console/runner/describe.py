"""What stands at the head of a record: versions, model, prompts and settings of the run."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from unfed.plugins import ModelCard

from ..results.record import ModelInfo
from .request import Request

_PACKAGES = {"unfed": "unfed-console", "torch": "torch", "transformers": "transformers", "crypten": "crypten"}


def describe(request: Request) -> dict[str, Any]:
    """Fields of `Record` that are known before the first query."""
    card = request.models.get("model")
    return {
        "profile": request.profile,
        "seed": request.sampling.seed,
        "concurrency": max(request.concurrency, len(request.variants) if request.race else 1),
        "links": request.links,
        "versions": versions(),
        "model": model_info(card) if isinstance(card, ModelCard) else None,
        "settings": msgspec.to_builtins(request.sampling)
        | {"template": request.template, "timeout": request.timeout, "links": msgspec.to_builtins(request.emulation)},
        "prompts": list(request.prompts),
    }


def model_info(card: ModelCard) -> ModelInfo:
    return ModelInfo(
        name=card.name,
        layers=card.layers,
        hidden=card.hidden,
        vocab=card.vocab,
        family=card.family,
        parameters=card.parameters,
        classes=list(card.classes),
    )


@cache
def versions() -> dict[str, str]:
    """Versions that figures depend on, of what is installed; read from metadata, nothing is imported."""
    found = {"python": platform.python_version()}
    for name, package in _PACKAGES.items():
        try:
            found[name] = version(package)
        except PackageNotFoundError:
            continue
    return found
