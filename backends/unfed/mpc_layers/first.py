"""The first of the layers' nodes where the entries have run layers before it."""

from __future__ import annotations

import torch

from unfed.plugins import UnfedError, serve

from ...mpc.engine.ring import decode
from ..integrity.statements import scaled
from ..nodes.joining import Joining
from ..nodes.last import Last


class Continuing(Joining):
    """Puts the entries' shares of hidden states together: here activations lie open for the first time."""

    ring = torch.int64

    @serve
    async def hidden_share(
        self,
        sender: str,
        *,
        session: bytes,
        reply: bytes,
        route: list[str],
        start: int,
        share: torch.Tensor,
        scale: int,
    ) -> None:
        """Of hidden states [t, hidden] over Z_2^64, with `scale` bits of fraction: int64."""
        if not 0 <= scale < 63:
            raise UnfedError(f"{sender} sent a share at no scale", kind="protocol", party=sender)
        came = scaled(share, scale)
        if (whole := self._join(sender, session, reply, route, (start, scale), share, came)) is not None:
            hidden = decode(whole, scale).float()
            self.ctx.hold("hidden", hidden=hidden)
            await self._run(sender, session, hidden[None], start)


class ContinuingAlone(Continuing, Last):
    """All layers that the entries have not run, at one node."""
