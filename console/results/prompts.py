"""Reads a file of prompts: JSON lines `{"id", "prompt", "label"?}`, or plain text with one prompt a line.

In JSON lines, `image` in place of `prompt` names an image, by a path relative to the file (to the current folder where
the lines come from standard input). The image itself is read when it is asked.

A file is JSON lines when its name ends in .jsonl, .ndjson or .json, or when its first line that is not blank begins
with `{`; else it is plain text, whose prompts are called p1, p2, … in order. Blank lines are skipped, a byte order
mark and CRLF line ends are taken off. Further keys of a JSON line are ignored.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from unfed.plugins import UnfedError

from .record import ImageFile, Prompt

MAX_FILE = 10_000_000
"""Bytes from which on a file is refused."""
MAX_PROMPT = 1_000_000
"""Bytes of one prompt."""
MAX_ID = 200
KEYS = ("id", "prompt", "image", "label")

_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
_LABELS = ("label", "labels", "lable", "lables")
"""Keys that were surely meant to be `label`: ignoring them would leave every answer unscored."""
_BOM = b"\xef\xbb\xbf"
_STDIN = "standard input"
_EACH = 'each line is {"id": "…", "prompt": "…", "label": "…"?}, or has "image": "FILE" in place of the prompt'


def read_prompts(path: Path | str) -> tuple[Prompt, ...]:
    """The prompts of a file, in order; `-` reads standard input.

    Raises:
        UnfedError: the file cannot be read or used, naming it and the line.
    """
    name = _STDIN if str(path) == "-" else str(path)
    try:
        if str(path) == "-":
            return parse_prompts(sys.stdin.buffer, name)
        with Path(path).open("rb") as file:
            if os.fstat(file.fileno()).st_size >= MAX_FILE:
                raise _too_large(name)
            return parse_prompts(file, name)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL byte
        why = getattr(error, "strerror", None) or str(error)
        raise UnfedError(f"cannot read the prompts file {name}: {why}") from error


def parse_prompts(file: IO[bytes], name: str) -> tuple[Prompt, ...]:
    """The prompts in `file`, read line by line; `name` stands in errors, and its ending may say it is JSON lines.

    Raises:
        UnfedError: naming the file and the line.
    """
    prompts: list[Prompt] = []
    lines_of: dict[str, int] = {}
    folder = Path() if name == _STDIN else Path(name).parent
    as_json: bool | None = name.lower().endswith(_JSON_SUFFIXES) or None
    for number, line in _lines(file, name):
        where = f"{name}, line {number}"
        if as_json is None:
            as_json = line.lstrip().startswith("{")
        prompt = _from_json(line, where, folder) if as_json else Prompt(id=f"p{len(prompts) + 1}", prompt=line)
        if prompt.id in lines_of:
            raise UnfedError(f"{where}: the id {prompt.id!r} stands on line {lines_of[prompt.id]} already")
        lines_of[prompt.id] = number
        prompts.append(check_prompt(prompt, where))
    if not prompts:
        raise UnfedError(f"{name} holds no prompts", hint='write one a line, or JSON lines {"id", "prompt", "label"?}')
    return tuple(prompts)


def check_prompt(prompt: Prompt, where: str) -> Prompt:
    """Itself, once it can be asked. `where` is what an error names.

    Raises:
        UnfedError: it is empty, too long, or holds what no text holds.
    """
    if not prompt.shown.strip():
        raise UnfedError(f"{where}: the prompt is empty")
    if not prompt.id.strip():
        raise UnfedError(f"{where}: the id is empty")
    if prompt.label is not None and not prompt.label.strip():
        raise UnfedError(f"{where}: the label is empty", hint="leave it out where there is none")
    if len(prompt.id) > MAX_ID:
        raise UnfedError(f"{where}: the id is longer than {MAX_ID} characters")
    texts = {"id": prompt.id, "image" if prompt.image else "prompt": prompt.shown, "label": prompt.label or ""}
    for key, text in texts.items():
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            raise UnfedError(f"{where}: the {key} is not valid Unicode (a lone surrogate)") from error
        if size > MAX_PROMPT:
            raise UnfedError(f"{where}: the {key} is {size:,} bytes long", hint=f"at most {MAX_PROMPT:,}")
        if "\0" in text:
            raise UnfedError(f"{where}: the {key} holds a NUL character", hint="is this a text file in UTF-8?")
    return prompt


def unique(prompts: Iterable[Prompt]) -> tuple[Prompt, ...]:
    """Themselves.

    Raises:
        UnfedError: two of them share an id.
    """
    seen: dict[str, Prompt] = {}
    for prompt in prompts:
        if prompt.id in seen:
            raise UnfedError(f"two prompts have the id {prompt.id!r}")
        seen[prompt.id] = prompt
    return tuple(seen.values())


def _lines(file: IO[bytes], name: str) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is not blank. Never holds more than one line, nor more than `MAX_FILE`."""
    read, number = 0, 0
    while raw := file.readline(MAX_FILE - read):
        number += 1
        start, read = read, read + len(raw)
        if read >= MAX_FILE:
            raise _too_large(name)
        if number == 1 and raw.startswith(_BOM):
            start, raw = start + len(_BOM), raw[len(_BOM) :]
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise UnfedError(
                f"{name}, line {number}: invalid UTF-8 at byte {start + error.start} of the file",
                hint="save the file as UTF-8",
            ) from error
        line = line.removesuffix("\n").removesuffix("\r")
        if line.strip():
            yield number, line


def _too_large(name: str) -> UnfedError:
    return UnfedError(f"{name} is too large: 10 MB or more", hint="split it into several runs")


def _from_json(line: str, where: str, folder: Path) -> Prompt:
    """One JSON line as a prompt; an image's path is relative to `folder`."""
    try:
        entry: Any = json.loads(line)
    except json.JSONDecodeError as error:
        raise UnfedError(
            f"{where}: broken JSON at column {error.colno}: {error.msg}",
            hint=_EACH,
        ) from error
    except (RecursionError, ValueError) as error:  # nested too deeply, or a number of thousands of digits
        raise UnfedError(f"{where}: JSON that no prompt needs (too deep, or too long a number)") from error
    if not isinstance(entry, dict):
        raise UnfedError(f"{where}: not a JSON object", hint=_EACH)
    if entry.get("image") is not None and entry.get("prompt") is not None:
        raise UnfedError(f"{where}: it holds a prompt and an image", hint="ask them one by one")
    asked = "prompt" if entry.get("image") is None else "image"
    for key in ("id", asked, "label"):
        value = entry.get(key)
        if value is None and key == "label":
            continue
        if key not in entry:
            found = ", ".join(repr(other[:40]) for other in list(entry)[:8])
            raise UnfedError(f"{where}: there is no {key!r}", hint=f"it holds {found}" if found else None)
        if not isinstance(value, str):
            raise UnfedError(f"{where}: the {key} is not a string")
    strays = [key for key in entry if key not in KEYS and key.casefold() in _LABELS]
    if "label" not in entry and strays:
        raise UnfedError(f"{where}: unknown key {strays[0]!r}", hint="did you mean 'label'?")
    label = entry.get("label")
    if asked == "prompt":
        return Prompt(id=entry["id"], prompt=entry["prompt"], label=label)
    path = entry["image"]
    return Prompt(id=entry["id"], label=label, image=ImageFile(path=str(folder / path) if path.strip() else ""))
