"""How a session begins at either kind of entry, and its statements: nobody is before them whose to countersign."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import TypeVar

import msgspec

from unfed.plugins import Context, UnfedError

from ..circuits.cells import ToEntry
from ..integrity.ledger import Ledgers

T = TypeVar("T", bound=ToEntry)


def leading(decode: Callable[[bytes], T], told: bytes, firsts: Container[str], sender: str) -> T:
    """What a client tells an entry at the opening of a circuit. Raises UnfedError (`protocol`) if it leads nowhere."""
    try:
        found = decode(told)
    except msgspec.MsgspecError:
        message = f"{sender} opened a circuit that says nothing to its end"
        raise UnfedError(message, kind="protocol", party=sender) from None
    if not found.route or found.route[0] not in firsts:
        raise UnfedError(f"{sender} opened a circuit that leads to no layers", kind="protocol", party=sender)
    return found


async def state(ctx: Context, ledgers: Ledgers | None, told: ToEntry, release: bytes) -> None:
    """Have the first of the layers know what an entry did in a session that is over, where it is held to that."""
    if ledgers is not None:
        mine = ledgers.commit(told.session, release, {})
        await ctx.send(told.route[0], "over", session=told.session, release=release, said=[tuple(mine)])
