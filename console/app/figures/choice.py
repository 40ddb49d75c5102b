"""The setup in a few words, for the frame of the prompt box."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .text import Span, clean_line

if TYPE_CHECKING:
    from ..desk import Choice


def ways(choice: Choice) -> tuple[list[Span], list[Span]]:
    """How variants run (the mode is always shown), and the rest of the setup."""
    if choice.race:
        mode: list[Span] = [("RACE", "simulated"), (" timings disturb each other", "poor")]
    else:
        mode = [("sequential", "good"), (" one query in flight", "dim")]
    sampling = choice.sampling
    drawn = f"T {sampling.temperature:g}, top-p {sampling.top_p:g}, seed {sampling.seed}"
    how = drawn if sampling.temperature else "greedy"
    parts = [clean_line(choice.profile or "no profile"), how, f"≤ {sampling.max_new_tokens} tokens"]
    if choice.links != "none":
        parts.append(f"links {clean_line(choice.links)}")
    if choice.audit:
        parts.append("audited")
    return mode, [("· " + " · ".join(parts), "dim")]
