"""The first of the nodes that run the layers: it adds the entries' shares up."""

from __future__ import annotations

import torch

from unfed.plugins import UnfedError, serve

from ...common.families import family_of
from ...common.weights import tensor_name
from ..bits import numbers_of
from ..integrity.statements import Signed, raw
from .layers import Layers


class Joining(Layers):
    """Puts the entries' shares together.

    Attributes:
        ring: the type of what they are over.
    """

    ring: torch.dtype

    async def start(self) -> None:
        await super().start()
        self._waiting: dict[bytes, tuple[str, tuple[int, ...], torch.Tensor]] = {}
        self._said: dict[bytes, dict[str, Signed]] = {}

    def _join(
        self,
        sender: str,
        session: bytes,
        reply: bytes,
        route: list[str],
        where: tuple[int, ...],
        share: torch.Tensor,
        came: bytes | memoryview,
    ) -> torch.Tensor | None:
        """Both shares [t, hidden] of what lies `where`, from a place on; None where the other one is still to come.

        Args:
            came: the share as it goes into trails.
        """
        self._expect(sender)
        width = self.ctx.model.card.hidden
        if share.dtype is not self.ring or share.dim() != 2 or share.shape[1] != width or not len(share):
            raise UnfedError(f"{sender} sent what is no share of rows", kind="protocol", party=sender)
        if (ledger := self._begin(self._before, session, reply, route).ledger) is not None:
            ledger.receives(sender, where[0], came)
        waiting = self._waiting.pop(session, None)
        if waiting is None:
            self._waiting[session] = sender, where, share
            return None
        other, theirs, first = waiting
        if other == sender or theirs != where or first.shape != share.shape:
            raise UnfedError(f"{sender} sent a share that does not go with {other}'s", kind="protocol", party=sender)
        return first + share

    async def _state(self, session: bytes, release: bytes, said: list[Signed], before: dict[str, Signed]) -> None:
        """Once both entries have said what they did."""
        both = self._said.pop(session, {}) | before
        if len(both) < len(self._before):
            self._said[session] = both
            return
        in_order = {name: both[name] for name in self._before}
        await super()._state(session, release, list(in_order.values()), in_order)

    async def _end(self, session: bytes, leave: bytes = b"") -> None:
        self._waiting.pop(session, None)
        self._said.pop(session, None)
        await super()._end(session, leave)


class First(Joining):
    """Here rows of the embedding lie open."""

    ring = torch.int32

    async def start(self) -> None:
        await super().start()
        self._positions: torch.Tensor | None = None
        family, card = family_of(self.ctx.model.card), self.ctx.model.card
        if family.positions:
            name = tensor_name(card, f"{family.positions}.weight")
            self._positions = self.ctx.model.tensors(name)[name].float()
            self.ctx.hold("weights opened", tensors=[name])

    @serve
    async def share(
        self, sender: str, *, session: bytes, reply: bytes, route: list[str], start: int, share: torch.Tensor
    ) -> None:
        """Of rows [t, hidden], over Z_2^32: int32."""
        if (whole := self._join(sender, session, reply, route, (start,), share, raw(share))) is None:
            return
        hidden = numbers_of(whole)
        self.ctx.hold("rows", rows=hidden)
        if self._positions is not None:
            hidden = hidden + self._positions[start : start + len(hidden)]
        await self._run(sender, session, hidden[None], start)
