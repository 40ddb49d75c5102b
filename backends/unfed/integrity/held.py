"""Whoever is held to what it does, and has to open it where the client gives leave."""

from __future__ import annotations

from typing import Any

from unfed.plugins import Role, UnfedError, serve

from .ledger import Ledgers


class Held(Role):
    """Settings: verifier: who may have it open what it sent, with the client's leave; or nobody."""

    _ledgers: Ledgers | None = None

    @serve
    async def reveal(self, sender: str, *, session: bytes, secret: bytes) -> dict[str, Any]:
        """See `Ledgers.reveal`."""
        if self._ledgers is None or sender != self.ctx.settings["verifier"]:
            raise UnfedError(f"{sender} sent what it may not", kind="protocol", party=sender)
        return self._ledgers.reveal(session, secret, sender)
