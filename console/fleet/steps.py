"""The steps of a fleet's start, each bounded in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from unfed.plugins import UnfedError

from .member import Member


async def all_take(
    step: Callable[[Member], asyncio.Future[Any]], members: Collection[Member], what: str, seconds: float
) -> None:
    """Wait until every member has taken a step.

    Args:
        step: the future that is done when a member has.
        what: the step in words: "it did not …".
    Raises:
        UnfedError: naming who failed, or was late.
    """
    waiting = {step(member): member for member in members}
    if not waiting:
        return
    done, late = await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for future in done:
        future.result()
    for future in late:
        slow = waiting[future]
        raise UnfedError(
            f"it did not {what} within {seconds:g} s", kind="fleet", party=slow.spec.name, hint=slow.log.last_words()
        )
