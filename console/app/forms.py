"""Form fields made from what is declared elsewhere: a backend's `Options`, the sampling settings, the links."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Literal, Union

import msgspec
from pydantic.fields import FieldInfo

from unfed.plugins import Backend

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
        takes = "" if self.choices else self.bounds
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
    return msgspec.json.encode(value, enc_hook=str).decode()


RUN_ABOUT = {
    "max_new_tokens": "Tokens generated at the most.",
    "temperature": "0 is greedy: the same tokens every time.",
    "top_p": "Sample among the likeliest tokens up to this share.",
    "seed": "The same seed draws the same tokens.",
    "links": "Emulated delay and bandwidth",
    "timeout": "Seconds per query.",
}
"""The keys of a profile's `[run]` that the form has, and what it says of them."""


def run_fields(choice: Choice, links: Sequence[str]) -> list[Field]:
    """Fields for what belongs to the whole run; bounds and defaults are those of a profile's `[run]`."""
    from ..runner.profile import RunKeys

    held = {**msgspec.structs.asdict(choice.sampling), "links": choice.links, "timeout": choice.timeout}
    fields = []
    for name, about in RUN_ABOUT.items():
        info = RunKeys.model_fields[name]
        if name == "links":
            about = f"{about}: {', '.join(links)}, or numbers like 10ms,50mbit."
        fields.append(
            Field(
                key=f"run.{name}",
                label=name.replace("_", " "),
                about=about,
                default=as_text(_declared(info)) or "none",
                value=as_text(held[name]),
                bounds=bounds(info),
            )
        )
    for name, on, about in (
        ("race", choice.race, "All columns at once; timings disturb each other."),
        ("audit", choice.audit, "Record what every party receives and holds."),
    ):
        key, yes = f"run.{name}", as_text(on)
        fields.append(Field(key=key, label=name, about=about, default="false", value=yes, choices=("false", "true")))
    return fields


def apply(choice: Choice, profile: str | None, backends: Sequence[str], values: Mapping[str, str]) -> Choice:
    """The choice that a filled form asks for; options are checked when the variants are made.

    Raises:
        UnfedError: a run field that cannot be used, naming it.
    """
    from ..runner.profile import check_run

    options: dict[str, dict[str, str]] = {}
    for key, value in values.items():
        owner, _, name = key.partition(".")
        if owner != "run" and value.strip():
            options.setdefault(owner, {})[name] = value.strip()
    typed = {name: values.get(f"run.{name}", "").strip() for name in RUN_ABOUT}
    run = check_run({name: text for name, text in typed.items() if text}, "the run")
    return msgspec.structs.replace(
        choice,
        profile=profile,
        backends=tuple(backends),
        options=options,
        sampling=Sampling(
            max_new_tokens=run.max_new_tokens, temperature=run.temperature, top_p=run.top_p, seed=run.seed
        ),
        links=run.links or "none",
        timeout=run.timeout,
        race=values.get("run.race") == "true",
        audit=values.get("run.audit") == "true",
    )
