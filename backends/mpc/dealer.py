"""The dealer: makes the nodes' correlated randomness, step by step, and learns nothing but lengths."""

from __future__ import annotations

from unfed.plugins import Role, UnfedError, serve

from .backend import NODES
from .transformer.dealing import DealtSession, Part
from .transformer.program import Transformer
from .transformer.public import fixed
from .transformer.scales import Format
from .transformer.warm import warm
from .transformer.weights import outline


class Dealer(Role):
    async def start(self) -> None:
        self._begin()
        format = Format.travelled(await self.ctx.call(NODES[0], "format"))
        self._transformer = Transformer(fixed(outline(self.ctx.model.card), format.scales), format)
        warm(self._transformer)

    def _begin(self) -> None:
        self._context: int = self.ctx.settings["context"]
        self._sessions: dict[str, DealtSession] = {}

    async def forget(self, query: str) -> None:
        self._sessions.pop(query, None)

    @serve
    async def material(self, sender: str, *, session: str, step: int, start: int, tokens: int) -> Part:
        """A node's part for `tokens` more rows of a session after `start` others: given once to each node, in order."""
        self._nodes_only(sender)
        if session == self.ctx.query:
            self._sessions.setdefault(session, DealtSession(self._transformer, self._context))
        if (known := self._sessions.get(session)) is None:
            raise UnfedError(f"{sender} goes on with a session that never began", kind="protocol", party=sender)
        return await known.part(NODES.index(sender), sender, step, start, tokens)

    def _nodes_only(self, sender: str) -> None:
        if sender not in NODES:
            raise UnfedError(f"{sender} asked for what only nodes may have", kind="protocol", party=sender)
