"""The dealer of the first layers: makes the entries' correlated randomness, and learns lengths alone."""

from __future__ import annotations

from unfed.plugins import Role, UnfedError, serve

from ...mpc.transformer.dealing import DealtSession, Part
from ...mpc.transformer.program import Transformer
from ...mpc.transformer.public import fixed
from ...mpc.transformer.scales import Format
from ...mpc.transformer.warm import warm
from ...mpc.transformer.weights import outline
from ..names import ENTRIES


class Dealer(Role):
    """Sessions bear a name that the client made up for the entries to use here.

    Settings:
        layers: how many the entries run.
        context: most rows of a session.
    """

    async def start(self) -> None:
        format = Format.travelled(await self.ctx.call(ENTRIES[0], "format"))
        shapes = outline(self.ctx.model.card, self.ctx.settings["layers"])
        self._transformer = Transformer(fixed(shapes, format.scales), format)
        warm(self._transformer)
        self._sessions: dict[bytes, DealtSession] = {}
        self._left: dict[bytes, str] = {}
        """Sessions that one entry is done with, and which."""

    @serve
    async def material(self, sender: str, *, session: bytes, step: int, start: int, tokens: int) -> Part:
        """An entry's part for `tokens` more rows of a session after `start` others: given once to each, in order."""
        self._entries_only(sender)
        known = self._sessions.get(session)
        if known is None:
            known = self._sessions[session] = DealtSession(self._transformer, self.ctx.settings["context"])
        return await known.part(ENTRIES.index(sender), sender, step, start, tokens)

    @serve
    async def end(self, sender: str, *, session: bytes) -> None:
        """An entry is done with a session: with both of them it is over."""
        self._entries_only(sender)
        if self._left.setdefault(session, sender) != sender:
            del self._left[session]
            self._sessions.pop(session, None)

    def _entries_only(self, sender: str) -> None:
        if sender not in ENTRIES:
            raise UnfedError(f"{sender} asked for what only entries may have", kind="protocol", party=sender)
