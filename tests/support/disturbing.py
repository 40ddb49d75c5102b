"""Answers that are disturbed on the way, for tests of who survives what."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from real_fleets import Outcome, ask, until

from unfed.console.fleet.fleet import Fleet
from unfed.plugins import Emulation, Event, Note, Token

SLOW = Emulation(delay=0.002)
"""Links on which an answer takes long enough to be disturbed."""


def matrix(parties: Sequence[str], tokens: int, few: Sequence[str] | None = None) -> list[tuple[str, int]]:
    """Whom to disturb after which token: before it is asked, after prefilling, in the middle, at the end.

    A diagonal of that, of a few of them or of all; or with UNFED_WHOLE_MATRIX everybody at every phase: some minutes
    more.
    """
    phases = [0, 1, 9, tokens - 1]
    if os.environ.get("UNFED_WHOLE_MATRIX"):
        return [(name, when) for name in parties for when in phases]
    return [(name, phases[number % 4]) for number, name in enumerate(parties) if few is None or name in few]


async def whole(fleet: Fleet) -> None:
    """Everybody is there, and has been for a while as far as the supervisor is concerned."""
    await until(lambda: all(state.health == "ready" for state in fleet.parties()), 15)
    fleet._repairs._deaths.clear()  # or a test that kills as often as these would see parties given up


async def disturbed(
    fleet: Fleet,
    prompt: str,
    disturb: Mapping[int, Callable[[], Any]],
    tokens: int,
    timeout: float = 60.0,
    **more: Any,
) -> Outcome:
    """An answer, and what is done when its token of a number comes. Number 0 is before it is asked."""
    seen = 0

    def heard(event: Event) -> None:
        nonlocal seen
        if isinstance(event, Token):
            seen += 1
            disturb.get(seen, lambda: None)()

    disturb.get(0, lambda: None)()
    return await ask(fleet, prompt, timeout, on_event=heard, max_new_tokens=tokens, **more)


def notes(outcome: Outcome) -> list[Note]:
    return [event for event in outcome.events if isinstance(event, Note)]
