"""One query asked of a fleet: every event with the time it came, and what the parties reported afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count

from ..errors import Failure
from ..image import Image
from ..query import Answer, Event, Failed, Finished, Query, Token
from .canary import Asked
from .lab import Fleet, Settlement

_numbers = count(1)


class Exchange:
    """A query and all that came back. Times are seconds since it was asked."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self.events: list[tuple[float, Event]] = []
        self.settlement: Settlement | None = None

    @property
    def tokens(self) -> list[Token]:
        return [event for _, event in self.events if isinstance(event, Token)]

    @property
    def finished(self) -> Finished | None:
        return next((event for _, event in self.events if isinstance(event, Finished)), None)

    @property
    def answer(self) -> Answer | None:
        return self.finished.answer if self.finished else None

    @property
    def failure(self) -> Failure | None:
        return next((event.error for _, event in self.events if isinstance(event, Failed)), None)

    @property
    def seconds(self) -> float:
        """When the last event came."""
        return self.events[-1][0] if self.events else 0.0

    def __str__(self) -> str:
        return str(self.failure) if self.failure else f"{len(self.tokens)} tokens in {self.seconds:.2f} s"


def new_query(
    prompt: Asked, max_new_tokens: int, *, temperature: float = 0.0, seed: int = 0, logits: bool = False
) -> Query:
    return Query(
        id=f"kit{next(_numbers):06d}",
        prompt="" if isinstance(prompt, Image) else prompt,
        image=prompt if isinstance(prompt, Image) else None,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        seed=seed,
        logits=logits,
    )


async def exchange(
    fleet: Fleet,
    query: Query,
    timeout: float,
    *,
    during: Callable[[Event], None] | None = None,
    settle: bool = True,
) -> Exchange:
    """Ask `query`, once nothing is done ahead of it any more, and listen to the end.

    Args:
        during: called with every event as it comes.
        settle: have the parties report on it and forget it.
    """
    made = Exchange(query)
    await fleet.rested()
    began = time.monotonic()
    async for event in fleet.ask(query, timeout):
        made.events.append((time.monotonic() - began, event))
        if during is not None:
            during(event)
    if settle:
        made.settlement = await fleet.settle(query.id)
    return made
