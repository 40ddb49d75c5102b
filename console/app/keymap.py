"""The user's own keys: `keymap.toml` in the config folder, read with a clear word on everything wrong in it.

[compare]
race = "ctrl+y"
cancel = ["x", "ctrl+x"]
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from textual.keys import Keys, _character_to_key

from unfed.plugins.options import nearest

from .actions import ACTS, IDS

FILE = "keymap.toml"
_MODIFIERS = {"ctrl", "shift", "alt", "meta", "super", "hyper"}
_NAMED = {key.value for key in Keys} - {"<any>"} | {_character_to_key(chr(code)) for code in range(33, 127)}


def read_keymap(path: Path) -> tuple[dict[str, str], list[str]]:
    """Binding id → keys, and a line for everything in the file that was passed over.

    A missing file is an empty keymap; nothing in a file raises.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, []
    except (OSError, UnicodeDecodeError) as error:
        return {}, [f"{path.name} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}"]
    except tomllib.TOMLDecodeError as error:
        return {}, [f"{path.name} is not TOML: {error}"]
    keymap: dict[str, str] = {}
    problems: list[str] = []
    for name, value in _flat(table):
        keys = [value] if isinstance(value, str) else value
        if name not in IDS:
            problems.append(f"{path.name}: there is no action {name!r}; {nearest(name, IDS)}")
        elif not isinstance(keys, list) or not keys or not all(isinstance(key, str) for key in keys):
            problems.append(f'{path.name}: {name} must be a key such as "ctrl+y", or a list of keys')
        elif bad := [key for key in ",".join(keys).split(",") if not is_key(key.strip())]:
            problems.append(f"{path.name}: {name} = {bad[0]!r} is no key; keys read like f5, ctrl+y, alt+enter, x")
        else:
            keymap[name] = ",".join(key.strip() for key in ",".join(keys).split(","))
    return keymap, problems + [f"{path.name}: {line}" for line in clashes(keymap)]


def _flat(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        name = f"{above}.{key}" if above else key
        if isinstance(value, dict):
            yield from _flat(value, name)
        else:
            yield name, value


def is_key(text: str) -> bool:
    """Whether `text` names a key as textual does: `x`, `?`, `f5`, `ctrl+y`, `alt+enter`."""
    *modifiers, key = text.split("+")
    if not key and text.endswith("+"):  # the plus key itself
        return text == "+"
    if not set(modifiers) <= _MODIFIERS or len(set(modifiers)) != len(modifiers):
        return False
    return text in _NAMED or key in _NAMED or (len(key) == 1 and key.isprintable() and not key.isspace())


def clashes(keymap: Mapping[str, str]) -> list[str]:
    """A line for every key that two actions of one scope share once `keymap` is applied."""
    lines: list[str] = []
    taken: dict[tuple[str, str], str] = {}
    for act in ACTS:
        for key in keymap.get(act.id, act.keys).split(","):
            long = _character_to_key(key) if len(key) == 1 else key
            other = taken.setdefault((act.scope, long), act.id)
            if other != act.id and (other in keymap or act.id in keymap):
                lines.append(f"{key} is both {other} and {act.id}")
    return lines
