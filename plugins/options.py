"""Options of a backend, declared once: profile key, command-line flag, form field and documentation."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import UnfedError


class Options(BaseModel):
    """Base of every backend's options. Fields carry a default, a description and their bounds."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint that names the closest of the known words, or all of them."""
    choices = sorted(known)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(choices)}" if choices else "there is none"


def read_options(backend: str, kind: type[Options], values: Mapping[str, Any]) -> Options:
    """`values` (strings from a command line, or TOML values) as options of `backend`.

    Raises:
        UnfedError: an unknown option (the nearest is suggested) or a value out of its bounds.
    """
    for key in values:
        if key not in kind.model_fields:
            raise UnfedError(f"backend {backend} has no option {key!r}", hint=nearest(key, kind.model_fields))
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "options"
        raise UnfedError(f"{backend}.{where} = {first['input']!r}: {first['msg']}") from error
