"""The last of the nodes that run the layers: it answers over the reply circuit."""

from __future__ import annotations

import torch

from ..circuits.hop import Hop, Passage
from ..integrity.statements import Signed
from .joining import First
from .layers import Layers, Onward
from .results import result, stated


class Last(Layers, Hop):
    """Ends the reply circuit: what it sends back the client alone can read."""

    async def start(self) -> None:
        await Hop.start(self)
        await super().start()
        self._replies: dict[bytes, Passage] = {}
        self._early: dict[bytes, list[tuple[bytes, bytes]]] = {}
        """By session, results whose circuit is not open, or not any more, with its name."""

    async def arrived(self, passage: Passage, told: bytes) -> None:
        """`told` names the circuit, which is opened along with the others and may come after what is for it."""
        self._replies[told] = passage
        for waiting in list(self._early.values()):
            for reply, data in waiting:
                if reply == told:
                    await self.answer(passage, data)

    async def closed(self, passage: Passage) -> None:
        self._replies = {name: each for name, each in self._replies.items() if each is not passage}

    async def gone(self, peer: str) -> None:
        await Layers.gone(self, peer)
        await Hop.gone(self, peer)

    async def _end(self, session: bytes, leave: bytes = b"") -> None:
        self._early.pop(session, None)
        await super()._end(session, leave)

    def _leads_on(self, route: list[str]) -> bool:
        return not route

    def _named(self, reply: bytes) -> bytes:
        return reply

    async def _on(self, session: bytes, hidden: torch.Tensor, start: int) -> None:
        onward, hidden = self._sessions[session], hidden if self.ctx.settings["whole"] else hidden[:, -1:]
        self.ctx.hold("result", hidden=hidden)
        if onward.ledger is not None:
            onward.ledger.sends(start, hidden, hidden)
        await self._reply(session, onward.reply, result(hidden))

    async def _say(self, onward: Onward, session: bytes, release: bytes, said: list[Signed]) -> None:
        await self._reply(session, onward.reply, stated(said))

    async def _reply(self, session: bytes, reply: bytes, data: bytes) -> None:
        if (passage := self._replies.get(reply)) is not None:
            await self.answer(passage, data)
        else:
            self._early.setdefault(session, []).append((reply, data))


class Only(First, Last):
    """All layers at one node."""
