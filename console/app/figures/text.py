"""Toned text, and the cleaning that everything untrusted goes through before it is drawn."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Literal

from ...results.record import Prompt

Tone = Literal["plain", "dim", "strong", "title", "good", "fair", "poor", "bad", "accent", "simulated"]
"""What a piece of text means; themes give each tone its colour (see `widgets/lines.py`)."""

Span = tuple[str, Tone]
Line = tuple[Span, ...]

_REORDERING = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x061C, 0x200E, 0x200F}
"""Marks that change the direction of text: they let an answer rewrite how the words around it read."""

_INVISIBLE = {0x200B, 0x2060, 0xFEFF}


def clean(text: str) -> str:
    """`text` with nothing in it that a terminal would obey.

    Control characters become their visible pictures (escape: ␛), tabs become spaces, line ends become newlines, marks
    that reorder text and halves of surrogate pairs become �. What a person wrote stays readable.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_safe, text.replace("\r\n", "\n")))


def clean_line(text: str) -> str:
    """`text` cleaned and on one line; line ends become ⏎."""
    return clean(text).replace("\n", "⏎")


def _safe(character: str) -> str:
    code = ord(character)
    if character == "\n" or code in (0x2028, 0x2029, 0x85):
        return "\n"
    if character == "\t":
        return "    "
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if 0x80 <= code < 0xA0 or code in _REORDERING or 0xD800 <= code < 0xE000:
        return "�"
    return "" if code in _INVISIBLE else character


def typed(prompt: Prompt) -> str:
    """What stands in the prompt box for a prompt: its text, or its id and its image's name."""
    return f"{prompt.id}: {prompt.brief}" if prompt.image else prompt.prompt


def length(line: Line) -> int:
    """Characters of a line."""
    return sum(len(text) for text, _ in line)


def shorten(text: str, width: int) -> str:
    """`text` in at most `width` characters, an ellipsis at its end where some are missing."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def hanging(head: Span, body: str, tone: Tone, width: int, indent: int) -> list[Line]:
    """`head`, then `body` wrapped to `width` with every line starting at column `indent`."""
    rows = textwrap.wrap(body, max(8, width - indent)) or [""]
    first: Line = (head, (" " * max(1, indent - len(head[0])), "plain"), (rows[0], tone))
    return [first, *(((" " * indent, "plain"), (row, tone)) for row in rows[1:])]


def names(many: Iterable[str]) -> str:
    """Names in few words: a numbered run such as layers-0, layers-1, layers-2 becomes `layers-0…2`.

    >>> names(["client", "layers-0", "layers-1", "layers-2"])
    'client, layers-0…2'
    """
    parts: list[str] = []
    run: tuple[str, int, int] | None = None  # stem, first and last number of the run being read
    for name in many:
        stem, dash, tail = name.rpartition("-")
        number = int(tail) if dash and tail.isdecimal() and len(tail) < 6 else None
        if run is not None and number is not None and run[0] == stem and number == run[2] + 1:
            run = (stem, run[1], number)
            continue
        if run is not None:
            parts.append(_run(*run))
            run = None
        if number is None:
            parts.append(name)
        else:
            run = (stem, number, number)
    if run is not None:
        parts.append(_run(*run))
    return ", ".join(parts)


def _run(stem: str, first: int, last: int) -> str:
    return f"{stem}-{first}" if first == last else f"{stem}-{first}…{last}"
