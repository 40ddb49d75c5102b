"""Variants: one backend with one set of options each; a sweep makes several."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from unfed.plugins import Backend, Options, UnfedError
from unfed.plugins.options import nearest, read_options

MAX_VARIANTS = 64
"""Each variant is a fleet of its own."""

_ENDS = {"[": "]", "{": "}"}


class Variant(msgspec.Struct, frozen=True):
    """`id` is the backend's name, followed by the swept options where there are several: `split[shards=2]`."""

    id: str
    backend: type[Backend]
    options: Options

    @property
    def settings(self) -> dict[str, Any]:
        """The options as JSON-able values."""
        return self.options.model_dump(mode="json")


def make_variants(
    backends: Sequence[type[Backend]],
    sets: Sequence[str] = (),
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[Variant, ...]:
    """The variants that a command line asks for, in the backends' order.

    Args:
        sets: `backend.option=value` each. A comma makes a sweep, several sweeps their Cartesian product; `*` for the
            backend means every chosen one that has the option, and gives way to one that is named. A JSON list,
            object or string is one value.
        defaults: backend → options under all that (a profile's).
    Raises:
        UnfedError: an unknown backend or option (the nearest is suggested), or a value that does not fit.
    """
    names = [backend.name for backend in backends]
    for name in names:
        if names.count(name) > 1:
            raise UnfedError(
                f"backend {name!r} is chosen twice", hint=f"sweep an option instead: --set {name}.option=1,2"
            )
    general, named = _read_sets(sets, backends)
    made: list[Variant] = []
    for backend in backends:
        mine = {option: values for option, values in general.items() if option in backend.Options.model_fields}
        mine.update(named.get(backend.name, {}))
        made += _sweep(backend, mine, (defaults or {}).get(backend.name, {}), MAX_VARIANTS - len(made))
    return tuple(made)


def split_values(text: str) -> list[Any]:
    """The values that commas separate. Commas within JSON brackets or quotes separate nothing.

    A piece that begins like a JSON list, object or string is read as JSON; `null` is None; all else stays text, for
    the option's own type to read.
    """
    pieces: list[str] = []
    depth: list[str] = []
    quoted, start, index = False, 0, 0
    while index < len(text):
        character = text[index]
        if quoted:
            index += character == "\\"
            quoted = character != '"'
        elif character == '"' and (depth or not text[start:index].strip()):
            quoted = True
        elif character in _ENDS and (depth or not text[start:index].strip()):
            depth.append(_ENDS[character])
        elif depth and character == depth[-1]:
            depth.pop()
        elif character == "," and not depth:
            pieces.append(text[start:index])
            start = index + 1
        index += 1
    pieces.append(text[start:])
    return [_value(piece.strip()) for piece in pieces]


def _value(piece: str) -> Any:
    if piece == "null":
        return None
    if piece[:1] not in ("[", "{", '"'):
        return piece
    try:
        return json.loads(piece)
    except (ValueError, RecursionError) as error:
        raise UnfedError(
            f"{piece!r} begins like JSON and is none", hint='quote the whole argument: \'split.x=["a","b"]\''
        ) from error


def _read_sets(
    sets: Sequence[str], backends: Sequence[type[Backend]]
) -> tuple[dict[str, list[Any]], dict[str, dict[str, list[Any]]]]:
    """What `*` says and what each backend is told by name: option → values."""
    chosen = {backend.name: backend for backend in backends}
    general: dict[str, list[Any]] = {}
    named: dict[str, dict[str, list[Any]]] = {}
    for text in sets:
        target, equals, value = text.partition("=")
        name, dot, option = target.strip().rpartition(".")
        if not (equals and dot and name and option):
            raise UnfedError(f"--set {text!r} is not of the form backend.option=value")
        if name == "*":
            everywhere = {field for backend in backends for field in backend.Options.model_fields}
            if option not in everywhere:
                raise UnfedError(f"no chosen backend has an option {option!r}", hint=nearest(option, everywhere))
            place = general
        elif name in chosen:
            fields = chosen[name].Options.model_fields
            if option not in fields:
                raise UnfedError(f"backend {name} has no option {option!r}", hint=nearest(option, fields))
            place = named.setdefault(name, {})
        else:
            raise UnfedError(f"--set {text!r}: backend {name!r} is not chosen", hint=nearest(name, [*chosen, "*"]))
        if option in place:
            raise UnfedError(f"{name}.{option} is set twice", hint=f"sweep it with commas: --set {name}.{option}=1,2")
        place[option] = split_values(value)
    return general, named


def _sweep(
    backend: type[Backend], values: Mapping[str, list[Any]], defaults: Mapping[str, Any], room: int
) -> list[Variant]:
    """One variant for each choice of one value an option."""
    count = 1
    for each in values.values():
        count *= len(each)
    if count > room:
        raise UnfedError(f"that makes more than {MAX_VARIANTS} variants", hint="sweep fewer values at once")
    swept = sorted(option for option, each in values.items() if len(each) > 1)
    made: dict[str, Variant] = {}
    for choice in itertools.product(*values.values()):
        options = read_options(backend.name, backend.Options, {**defaults, **dict(zip(values, choice, strict=True))})
        settings = options.model_dump(mode="json")
        told = ",".join(f"{option}={_told(settings[option])}" for option in swept)
        variant = f"{backend.name}[{told}]" if told else backend.name
        if variant in made:
            raise UnfedError(f"the sweep names {variant} twice")
        made[variant] = Variant(variant, backend, options)
    return list(made.values())


def _told(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
