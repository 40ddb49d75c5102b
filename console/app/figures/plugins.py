"""The list of plugins."""

from __future__ import annotations

from collections.abc import Sequence

from unfed.plugins.host import Unavailable

from .grid import section
from .text import Line, clean_line, hanging, shorten


def listing(plugins: Sequence[tuple[str, str, str]], broken: Sequence[Unavailable], width: int) -> list[Line]:
    """Kind by kind, then what could not be imported and what to do about it."""
    lines: list[Line] = []
    first = max((len(name) for _, name, _ in plugins), default=0) + 2
    for kind in dict.fromkeys(kind for kind, _, _ in plugins):
        lines.append(section(kind, width))
        for _, name, title in (each for each in plugins if each[0] == kind):
            about = shorten(clean_line(title), width - first)
            lines.append(((clean_line(name).ljust(first), "strong"), (about, "plain")))
        lines.append(())
    if broken:
        lines.append(section("not available", width))
    for each in broken:
        name = clean_line(each.name)
        lines += hanging((name, "bad"), clean_line(each.reason), "plain", width, max(first, len(name) + 2))
        lines.append(((" " * first, "plain"), (f"→ {clean_line(each.hint)}", "accent")))
    return lines
