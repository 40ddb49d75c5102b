"""The owner of secret weights: folds the model, says how its numbers are held, and shares it between the nodes.

It serves nodes alone, and nothing but what they need to start: no query ever reaches it.
"""

from __future__ import annotations

import secrets

import torch

from unfed.plugins import Role, UnfedError, serve

from ..common.folded import fold
from ..common.whole import Whole
from .backend import NODES
from .engine.ring import SEED, Stream
from .transformer.bounds import fit
from .transformer.calibrate import calibrate
from .transformer.scales import UNCUT
from .transformer.shared import flat, whole

PIECE = 1 << 23
"""Numbers in one message: 64 MiB."""


class Sharing:
    """A vector as two shares: the first follows from a seed, the second is what is left."""

    def __init__(self, vector: torch.Tensor) -> None:
        self.seed = secrets.token_bytes(SEED)
        self._rest = vector - Stream(self.seed).take(len(vector))

    def rest(self, start: int) -> torch.Tensor:
        """At most `PIECE` numbers of the second share."""
        return self._rest[max(start, 0) : max(start, 0) + PIECE]


class Owner(Role):
    async def start(self) -> None:
        model, settings = self.ctx.model, self.ctx.settings
        folded = fold(model)
        ranges = calibrate(Whole(model.card).model, settings["context"], settings["softmax"]).rounded()
        self._format = fit(folded, ranges, UNCUT)
        self._sharing = Sharing(flat(whole(folded, self._format.scales)))
        self.ctx.hold("weights opened", tensors=sorted(model.card.tensors))

    @serve
    async def format(self, sender: str) -> list[object]:
        """How the model's numbers are held: see `Format` for what that tells of the weights."""
        self._only(sender, *NODES)
        return list(self._format)

    @serve
    async def first_share(self, sender: str) -> bytes:
        """The seed of the first node's share."""
        self._only(sender, NODES[0])
        return self._sharing.seed

    @serve
    async def second_share(self, sender: str, *, start: int) -> torch.Tensor:
        """A piece of the second node's share."""
        self._only(sender, NODES[1])
        return self._sharing.rest(start)

    def _only(self, sender: str, *nodes: str) -> None:
        if sender not in nodes:
            raise UnfedError(
                f"{sender} asked for what only {' and '.join(nodes)} may have", kind="protocol", party=sender
            )
