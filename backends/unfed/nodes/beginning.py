"""How statements of a session begin: at the entries, which have nobody before them whose to countersign."""

from __future__ import annotations

from unfed.plugins import Context

from ..circuits.cells import ToEntry
from ..integrity.ledger import Ledgers


async def state(ctx: Context, ledgers: Ledgers | None, told: ToEntry, release: bytes) -> None:
    """Have the first of the layers know what an entry did in a session that is over, where it is held to that."""
    if ledgers is not None:
        mine = ledgers.commit(told.session, release, {})
        await ctx.send(told.route[0], "over", session=told.session, release=release, said=[tuple(mine)])
