"""Plain text for terminals: harmless, aligned, and cut to width."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Sequence

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_HARMFUL = ("Cc", "Cs", "Zl", "Zp")


def clean(text: str) -> str:
    """`text` with control characters made visible, so that nothing in it can steer the terminal or reorder a line."""
    return "".join(_shown(each) if each in _BIDI or unicodedata.category(each) in _HARMFUL else each for each in text)


def _shown(character: str) -> str:
    known = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
    code = ord(character)
    return known.get(character) or (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )


def width(text: str) -> int:
    """Columns that cleaned text takes."""
    return sum(
        0
        if unicodedata.combining(each) or unicodedata.category(each) == "Cf"
        else 2
        if unicodedata.east_asian_width(each) in "WF"
        else 1
        for each in text
    )


def cut(text: str, columns: int) -> str:
    """`text`, shortened with an ellipsis to at most `columns`."""
    if width(text) <= columns:
        return text
    kept, used = "", 0
    for each in text:
        used += width(each)
        if used > max(0, columns - 1):
            break
        kept += each
    return f"{kept}…" if columns > 0 else ""


def columns(default: int = 100) -> int:
    """Width of the terminal that stdout is; `default` where it is none."""
    return max(40, shutil.get_terminal_size((default, 24)).columns) if sys.stdout.isatty() else default


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), indent: str = "") -> str:
    """Columns aligned under a head; `right` names the columns that end together. The last one is never padded."""
    cells = [[clean(cell) for cell in row] for row in (head, *rows)]
    widths = [max(width(row[index]) for row in cells) for index in range(len(head))]
    lines = []
    for row in cells:
        padded = []
        for index, cell in enumerate(row):
            gap = " " * (widths[index] - width(cell))
            padded.append(f"{gap}{cell}" if index in right else f"{cell}{gap}")
        lines.append((indent + "  ".join(padded)).rstrip())
    return "\n".join(lines)


def seconds(value: float) -> str:
    return f"{value * 1000:.1f} ms" if value < 0.1 else f"{value:.2f} s"


def size(count: float) -> str:
    """Bytes in units of a thousand, as links are counted."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")
