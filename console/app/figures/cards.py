"""Cards of the gallery: what a backend is, what it promises for the demo model, and how to get a missing one."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import msgspec

from unfed.plugins import Backend, Failure, Plan, Requirement
from unfed.plugins.host import Unavailable

from . import numbers
from .badges import Badge, badge
from .text import Line, clean_line, shorten


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One backend. `badge` and `parties` are known where a plan could be made."""

    name: str
    title: str
    summary: str = ""
    source: str = ""
    badge: Badge | None = None
    parties: int = 0
    simulated: bool = False
    missing: tuple[str, ...] = ()
    install: tuple[str, ...] = ()
    problem: str = ""
    chosen: bool = False

    @property
    def usable(self) -> bool:
        return not self.missing and not self.problem


def of_backend(
    backend: type[Backend], plan: Plan | Failure | None, missing: Sequence[Requirement], chosen: bool
) -> Card:
    """The card of an installed backend; `plan` is what it asks for the profile's models, or why it cannot."""
    made = plan if isinstance(plan, Plan) else None
    return Card(
        name=backend.name,
        title=clean_line(backend.title),
        summary=clean_line(backend.summary),
        source=clean_line(backend.source),
        badge=badge(made.guarantee, made.mode) if made is not None else None,
        parties=len(made.processes()) if made is not None else 0,
        simulated=made is not None and made.mode == "simulated",
        missing=tuple(clean_line(need.module) for need in missing),
        install=tuple(dict.fromkeys(clean_line(need.install) for need in missing)),
        problem=clean_line(str(plan)) if isinstance(plan, Failure) else "",
        chosen=chosen,
    )


def of_unavailable(broken: Unavailable) -> Card:
    """The card of a plugin that could not be imported."""
    return Card(
        name=clean_line(broken.name),
        title=f"from {clean_line(broken.distribution)}",
        problem=clean_line(broken.reason),
        install=(clean_line(broken.hint),),
    )


def lines(card: Card, width: int) -> list[Line]:
    """The inside of a card."""
    out: list[Line] = [((shorten(card.title, width), "strong"),)]
    if card.badge is not None:
        out += card.badge.lines(width)
    out += [((row, "plain"),) for row in textwrap.wrap(card.summary, width, max_lines=4, placeholder="…")]
    if card.source:
        out.append(((shorten(card.source, width), "dim"),))
    return out


def foot(card: Card, width: int) -> list[Line]:
    """The bottom lines of a card: whether it can run now, and what to do where it cannot."""
    if card.missing:
        head: Line = (("missing ", "poor"), (shorten(", ".join(card.missing), width - 8), "plain"))
        return [head, *(((shorten(f"→ {line}", width), "accent"),) for line in card.install)]
    if card.problem:
        rows: list[Line] = [((row, "bad"),) for row in textwrap.wrap(card.problem, width)[:2]]
        return rows + [((shorten(f"→ {way}", width), "accent"),) for way in card.install]
    parties = numbers.parties(card.parties) if card.parties else "installed"
    return [((f"{parties}, ready to run", "dim"),)]
