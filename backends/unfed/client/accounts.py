"""What nodes are held to after a session: their statements, and having it done again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from unfed.plugins import Context, Note, UnfedError

from ..integrity.statements import Signed
from ..names import VERIFIER
from .agreement import agreed
from .caught import Caught
from .session import Session
from .verification import Verification, falls

CHECKED_WITHIN = 120.0
"""Seconds from the end of a session until the verifier has to have done it again: as long as honest nodes can surely
open what they sent (see `ledger.KEPT`). After that nobody can be held to it."""


class Accounts:
    """Of one client, where there is a verifier.

    Args:
        caught: takes down who fails a check.
    """

    def __init__(self, ctx: Context, verification: Verification, caught: Caught) -> None:
        self._ctx, self.verification, self._caught = ctx, verification, caught
        self._checks = ctx.settings["checks"]

    async def settle(self, session: Session, tokens: int) -> list[Note]:
        """Have all say what they did in an answer; with live checks it is perhaps done again, and what came of that.

        Raises:
            UnfedError: naming whoever says something else than it did, or did something else than it should.
        """
        said = await self.said(session)
        if self._checks["kind"] == "live" and falls(self._checks["rate"], tokens):
            with self._ctx.phase("check"):
                told = await self.check(session, said)
            text = "the verifier cannot tell whether it was done as stated" if told else "done again, and as stated"
            return [Note(kind="check", party=VERIFIER, text=text)]
        return []

    async def said(self, session: Session) -> Sequence[Signed]:
        """What all state that they did, which hangs together. Raises UnfedError naming whose does not."""
        with self._ctx.phase("statements"):
            said = await session.statements()
        ranges = [(first, last) for first, last in self._ctx.settings["ranges"]]
        nodes = dict(zip(session.way.route, ranges, strict=True))
        agreed(self._ctx, session, said, nodes, self._ctx.settings["wire_dtype"], self._ctx.settings["mpc_layers"])
        return said

    async def check(self, session: Session, said: Sequence[Signed]) -> str:
        """Have the verifier do it again, with the session's circuits closed, as after any other.

        Returns:
            Why that could not be, if so.

        Raises:
            Failed: whoever did something else than it should, or one of those whom it was one of.
            UnfedError: naming whoever is lost; or (`timeout`) it was held back.
        """
        await session.close(kept=True)
        try:
            async with asyncio.timeout_at(session.over_since + CHECKED_WITHIN):
                verdict = await self.verification.check(session, said)
        except TimeoutError:
            raise UnfedError(
                f"the verifier has not done it again within {CHECKED_WITHIN:g} s",
                kind="timeout",
                hint="it, or a relay on the way to it, keeps that back or is slow",
            ) from None
        if session.lost is not None:  # whoever had its messages from the one that is gone cannot be held to anything
            raise session.lost
        if verdict.party or verdict.among:
            raise self._caught.add(verdict)
        return verdict.what
