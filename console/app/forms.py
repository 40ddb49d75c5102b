"""Form fields made from what is declared elsewhere: a backend's `Options`, the sampling settings, the links."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Literal, Union

import msgspec
from pydantic.fields import FieldInfo

from unfed.plugins import Backend, UnfedError

from ..runner.request import Sampling
from .desk import Choice


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field of the form.

    Attributes:
        key: `backend.option`, or `run.name` for what belongs to the whole run.
        default: what an empty field means, as text.
        value: what stands in the field; empty: the default.
        choices: the values it may have, where they are few.
        bounds: such as `1 … 8`.
    """

    key: str
    label: str
    about: str = ""
    default: str = ""
    value: str = ""
    choices: tuple[str, ...] = ()
    bounds: str = ""

    @property
    def hint(self) -> str:
        """What it is for and what it takes, in one line."""
        takes = " | ".join(self.choices) or self.bounds
        return "  ".join(part for part in (self.about.replace("\n", " "), f"({takes})" if takes else "") if part)


def option_fields(
    backend: type[Backend], values: Mapping[str, str], defaults: Mapping[str, Any] | None = None
) -> list[Field]:
    """A field for every option of `backend`, in the order they are declared.

    Args:
        values: what was typed before.
        defaults: a profile's own, in place of the declared ones.
    """
    return [
        Field(
            key=f"{backend.name}.{name}",
            label=name,
            about=info.description or "",
            default=as_text((defaults or {}).get(name, _declared(info))),
            value=values.get(name, ""),
            choices=choices(info.annotation),
            bounds=bounds(info),
        )
        for name, info in backend.Options.model_fields.items()
    ]


def _declared(info: FieldInfo) -> Any:
    return None if info.is_required() else info.get_default(call_default_factory=True)


def choices(annotation: Any) -> tuple[str, ...]:
    """The values of a Literal, an Enum, or a bool; empty where there are many."""
    if annotation is bool:
        return ("true", "false")
    origin = typing.get_origin(annotation)
    if origin is Literal:
        return tuple(as_text(value) for value in typing.get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return tuple(as_text(member.value) for member in annotation)
    if origin in (Union, types.UnionType):
        inner = [choices(each) for each in typing.get_args(annotation) if each is not type(None)]
        return inner[0] if len(inner) == 1 else ()
    return ()


def bounds(info: FieldInfo) -> str:
    """Bounds of a number, read from the field's constraints."""
    low = high = ""
    for rule in info.metadata:
        low = low or _bound(rule, "ge") or _bound(rule, "gt", ">")
        high = high or _bound(rule, "le") or _bound(rule, "lt", "<")
    if low and high:
        return f"{low} … {high}"
    return f"≥ {low}".replace("≥ >", "> ") if low else f"≤ {high}".replace("≤ <", "< ") if high else ""


def _bound(rule: Any, name: str, sign: str = "") -> str:
    value = getattr(rule, name, None)
    return "" if value is None else f"{sign}{value:g}" if isinstance(value, int | float) else f"{sign}{value}"


def as_text(value: Any) -> str:
    """A value as it is typed: JSON for lists and the like, bare words for strings."""
    if value is None:
        return ""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def run_fields(choice: Choice, links: Sequence[str]) -> list[Field]:
    """Fields for what belongs to the run: sampling, links, timeout."""
    sampling, plain = choice.sampling, Sampling()
    return [
        Field(key="run.max_new_tokens", label="max new tokens", default=str(plain.max_new_tokens),
              value=str(sampling.max_new_tokens), about="Tokens generated at the most.", bounds="≥ 1"),
        Field(key="run.temperature", label="temperature", default="0", value=f"{sampling.temperature:g}",
              about="0 is greedy: the same tokens every time.", bounds="≥ 0"),
        Field(key="run.top_p", label="top-p", default="1", value=f"{sampling.top_p:g}",
              about="Sample from the likeliest tokens that reach this share.", bounds="> 0 … 1"),
        Field(key="run.seed", label="seed", default="0", value=str(sampling.seed),
              about="The same seed draws the same tokens."),
        Field(key="run.links", label="links", default="none", value=choice.links,
              about=f"Emulated links: {', '.join(links)}, or numbers like 10ms,50mbit."),
        Field(key="run.timeout", label="timeout", default="120", value=f"{choice.timeout:g}",
              about="Seconds per query.", bounds="> 0"),
        Field(key="run.race", label="race", default="false", value=as_text(choice.race), choices=("false", "true"),
              about="All columns at once; timings disturb each other."),
        Field(key="run.audit", label="audit", default="false", value=as_text(choice.audit), choices=("false", "true"),
              about="Record what every party receives and holds."),
    ]  # fmt: skip


def apply(choice: Choice, profile: str | None, backends: Sequence[str], values: Mapping[str, str]) -> Choice:
    """The choice that a filled form asks for; options are checked when the variants are made.

    Raises:
        UnfedError: a run field that cannot be read, naming it.
    """
    options: dict[str, dict[str, str]] = {}
    for key, value in values.items():
        owner, _, name = key.partition(".")
        if owner != "run" and value.strip():
            options.setdefault(owner, {})[name] = value.strip()
    return msgspec.structs.replace(
        choice,
        profile=profile,
        backends=tuple(backends),
        options=options,
        sampling=Sampling(
            max_new_tokens=int(_number(values, "max_new_tokens", 32, low=1, whole=True)),
            temperature=_number(values, "temperature", 0.0, low=0),
            top_p=_number(values, "top_p", 1.0, low=0, high=1, above=True),
            seed=int(_number(values, "seed", 0, low=0, whole=True)),
        ),
        links=values.get("run.links", "").strip() or "none",
        timeout=_number(values, "timeout", 120.0, low=0, above=True),
        race=values.get("run.race") == "true",
        audit=values.get("run.audit") == "true",
    )


def _number(
    values: Mapping[str, str], name: str, default: float, *, low: float, high: float = float("inf"),
    above: bool = False, whole: bool = False,
) -> float:  # fmt: skip
    text = values.get(f"run.{name}", "").strip()
    if not text:
        return default
    label = name.replace("_", " ")
    try:
        value = float(text)
    except ValueError:
        raise UnfedError(f"{label} must be a number, not {text!r}") from None
    if not (low < value <= high if above else low <= value <= high):
        edge = f"above {low:g}" if above else f"{low:g} or more"
        raise UnfedError(f"{label} must be {edge}" + (f", {high:g} at most" if high < float("inf") else ""))
    if whole and value != int(value):
        raise UnfedError(f"{label} must be a whole number")
    return value
