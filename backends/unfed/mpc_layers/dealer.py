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
from .agreed import Agreed


class Dealer(Role):
    """Sessions bear a name that the client made up for the entries to use here.

    Settings:
        layers: how many the entries run.
        context: most rows of a session.
    """

    async def start(self) -> None:
        self._sessions: dict[bytes, _Session] = {}
        self._agreed = Agreed(self.ctx, self._built)
        await self._agreed.begin()

    def _built(self, format: Format) -> Transformer:
        shapes = outline(self.ctx.model.card, self.ctx.settings["layers"])
        transformer = Transformer(fixed(shapes, format.scales), format)
        warm(transformer)
        return transformer

    @serve
    async def material(self, sender: str, *, session: bytes, step: int, start: int, tokens: int) -> Part:
        """An entry's part for `tokens` more rows of a session after `start` others: given once to each, in order."""
        self._entries_only(sender)
        known = self._sessions.setdefault(session, _Session())
        known.asking.add(sender)
        program = await self._agreed.program()
        if known.dealt is None:
            known.dealt = DealtSession(program, self.ctx.settings["context"])
        return await known.dealt.part(ENTRIES.index(sender), sender, step, start, tokens)

    @serve
    async def end(self, sender: str, *, session: bytes) -> None:
        """An entry is done with a session: with all that have asked it is over."""
        self._entries_only(sender)
        self._done(session, sender)

    async def gone(self, peer: str) -> None:
        """It asks for nothing any more; the other entry may, until it has heard of that."""
        for session in list(self._sessions):
            self._done(session, peer)

    def _done(self, session: bytes, entry: str) -> None:
        if (known := self._sessions.get(session)) is None:
            return
        known.asking.discard(entry)
        if not known.asking:
            del self._sessions[session]

    def _entries_only(self, sender: str) -> None:
        if sender not in ENTRIES:
            raise UnfedError(f"{sender} asked for what only entries may have", kind="protocol", party=sender)


class _Session:
    """Attributes:
    asking: entries that have asked for material and are not done.
    dealt: what they were given.
    """

    def __init__(self) -> None:
        self.asking: set[str] = set()
        self.dealt: DealtSession | None = None
