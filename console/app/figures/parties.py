"""Rows of the Fleet screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...fleet.state import Health, PartyState
from . import numbers
from .grid import Heading
from .text import Span, Tone, clean_line

HEALTH: dict[Health, tuple[str, Tone]] = {
    "starting": ("◌ loading", "accent"),
    "ready": ("● ready", "good"),
    "hung": ("◐ hung", "poor"),
    "lost": ("✗ lost", "bad"),
    "restarting": ("◌ again", "accent"),
    "stopped": ("– stopped", "dim"),
}

Key = tuple[str, str]
"""Variant and party."""

HEADS: tuple[Heading, ...] = (
    Heading("variant"),
    Heading("party"),
    Heading("health", 9),
    Heading("pid", 5, number=True),
    Heading("CPU", 4, number=True),
    Heading("PSS", 7, number=True),
    Heading("in", 7, number=True),
    Heading("out", 7, number=True),
    Heading("RSS", 7, number=True),
    Heading("×", 1, number=True),
    Heading("role"),
)
"""In the order of their worth: where it is narrow, the last ones are reached by scrolling."""


def row(party: PartyState) -> tuple[Span, ...]:
    """The cells of one party, in the order of `HEADS`."""
    word, tone = HEALTH[party.health]
    gone = party.health in ("lost", "stopped")
    figure: Tone = "dim" if gone else "plain"
    return (
        (clean_line(party.variant), "plain"),
        (clean_line(party.name), "accent" if party.trusted else "plain"),
        (word, tone),
        (str(party.pid) if party.pid else numbers.NOTHING, figure),
        (f"{party.cpu_percent:.0f}%", "dim" if gone or party.cpu_percent < 0.5 else "plain"),
        (numbers.size(party.pss_bytes) if party.pss_bytes else numbers.NOTHING, figure),
        (numbers.size(party.bytes_in), figure),
        (numbers.size(party.bytes_out), figure),
        (numbers.size(party.rss_bytes) if party.rss_bytes else numbers.NOTHING, figure),
        (str(party.restarts), "poor" if party.restarts else "dim"),
        (clean_line(party.role), "dim"),
    )


def ordered(parties: Mapping[Key, PartyState]) -> list[Key]:
    """Variants as they came, the client first in each, the others by name with numbers in order."""
    variants = list(dict.fromkeys(variant for variant, _ in parties))
    return sorted(parties, key=lambda key: (variants.index(key[0]), key[1] != "client", _natural(key[1])))


def _natural(name: str) -> tuple[str, int]:
    stem, _, tail = name.replace(".", "-").rpartition("-")
    return (stem, int(tail)) if tail.isdecimal() and len(tail) < 9 else (name, -1)


def summary(parties: Iterable[PartyState]) -> list[Span]:
    """One line about the whole fleet."""
    everyone = list(parties)
    if not everyone:
        return [("no party is running", "dim")]
    alive = [party for party in everyone if party.health not in ("lost", "stopped")]
    spans: list[Span] = [
        (numbers.parties(len(alive)), "strong"),
        (f"  {numbers.size(sum(party.pss_bytes for party in alive))} PSS", "plain"),
        (f"  {numbers.size(sum(party.bytes_out for party in everyone))} sent", "plain"),
    ]
    for health, (word, tone) in HEALTH.items():
        many = sum(party.health == health for party in everyone)
        if many and health not in ("ready", "stopped"):
            spans.append((f"  {many} {word.partition(' ')[2]}", tone))
    return spans


def about(party: PartyState, links: Mapping[str, float]) -> list[Span]:
    """The heading of the log pane; `links` are seconds one way by peer, where they are known."""
    spans: list[Span] = [(f"{clean_line(party.variant)}/{clean_line(party.name)}", "strong")]
    spans.append(("  trusted: yours" if party.trusted else "  untrusted", "accent" if party.trusted else "dim"))
    spans.append((f"  {clean_line(party.role)}", "dim"))
    if party.note:
        spans.append((f"  {clean_line(party.note)}", HEALTH[party.health][1]))
    if links:
        told = ", ".join(f"{clean_line(peer)} {numbers.milliseconds(seconds)}" for peer, seconds in links.items())
        spans.append((f"  ms to {told}", "dim"))
    return spans
