"""Nodes and dealer where weights are secret: all they open is the config, and the nodes hold a share each."""

from __future__ import annotations

import asyncio

import torch

from unfed.plugins import Channel, Context, UnfedError, serve

from .backend import DEALER, NODES, OWNER
from .dealer import Dealer
from .engine.blank import blank
from .engine.material import Deal, Draw
from .engine.ring import SEED, Stream
from .engine.session import Computing, Dealing, Exchange, Preparing
from .node import Node
from .owner import PIECE
from .transformer.dealing import Part
from .transformer.program import Transformer
from .transformer.running import exchanging
from .transformer.scales import Format
from .transformer.shared import held, size, unflat, whole
from .transformer.warm import warm
from .transformer.weights import Public, Weights, outline

PATIENCE = 10.0
"""Seconds that a node waits for the other one, once the owner told it the format: it tells both at once."""


class SecretNode(Node):
    """Holds a share of the weights, and every matrix of them under a mask."""

    async def _weights(self) -> tuple[Format, Weights]:
        format = Format.travelled(await self.ctx.call(OWNER, "format"))
        channel = await asyncio.to_thread(self._meet, format)
        try:
            model = outline(self.ctx.model.card)
            shapes = whole(model, format.scales)
            seed = await self.ctx.call(DEALER, "masks", format=list(format))
            if not isinstance(seed, bytes) or len(seed) != SEED:
                raise UnfedError("the dealer sent what is no seed", kind="protocol", party=DEALER)
            parts = unflat(await share_of(self.ctx, self._party, size(shapes)), shapes)
            # What is added outlives the vector that it came in.
            share = [Public(weight, None if bias is None else bias.clone()) for weight, bias in parts]
            run = opening(self._party, seed, shapes, exchanging(channel, self._peer))
            return format, await asyncio.to_thread(held, run, model, format.scales, share)
        finally:
            channel.close()

    def _meet(self, format: Format) -> Channel:
        """The channel with the other node, which has been told the same; opened before shares are long under way."""
        try:
            channel = self.ctx.channel(self._peer, "weights")
            told = channel.exchange(timeout=PATIENCE, format=list(format)).get("format")
        except UnfedError as error:
            if error.failure.kind != "timeout":
                raise
            raise UnfedError(
                f"{self._peer} opens no weights now: nodes do that together, when their fleet starts",
                kind="unavailable",
                party=self._peer,
                hint="start the fleet anew",
            ) from None
        if Format.travelled(told) != format:
            raise UnfedError(f"{OWNER} told the nodes different formats", kind="protocol", party=OWNER)
        return channel


class SecretDealer(Dealer):
    """Draws the masks of the weights once, and keeps them: they tell nothing of the weights."""

    async def start(self) -> None:
        self._lock = asyncio.Lock()
        self._masked: tuple[Format, tuple[bytes, bytes]] | None = None
        self._begin()

    @serve
    async def masks(self, sender: str, *, format: Format) -> bytes:
        """The seed of a node's shares of the masks of all matrices."""
        self._nodes_only(sender)
        async with self._lock:
            if self._masked is None:
                self._masked = format, await asyncio.to_thread(self._mask, format)
        known, seeds = self._masked
        if format != known:
            raise UnfedError(
                f"{sender} says otherwise than its peer how numbers are held", kind="protocol", party=sender
            )
        return seeds[NODES.index(sender)]

    @serve
    async def material(self, sender: str, *, session: str, step: int, start: int, tokens: int) -> Part:
        if self._masked is None:
            raise UnfedError(
                "the masks of the weights went with the dealer before this one",
                kind="unavailable",
                hint="start the fleet anew",
            )
        return await super().material(sender, session=session, step=step, start=start, tokens=tokens)

    def _mask(self, format: Format) -> tuple[bytes, bytes]:
        deal, model = Deal(), outline(self.ctx.model.card)
        shapes = [blanks(linear) for linear in whole(model, format.scales)]
        self._transformer = Transformer(held(Dealing(deal), model, format.scales, shapes), format)
        warm(self._transformer)
        return deal.seeds


async def share_of(ctx: Context, party: int, size: int) -> torch.Tensor:
    """A node's share of `size` numbers of the owner's.

    Raises:
        UnfedError: the owner sent something else (`protocol`).
    """
    if party == 0:
        seed = await ctx.call(OWNER, "first_share")
        if not isinstance(seed, bytes) or len(seed) != SEED:
            raise _misfit()
        return Stream(seed).take(size)
    pieces: list[torch.Tensor] = []
    for start in range(0, size, PIECE):
        piece = await ctx.call(OWNER, "second_share", start=start)
        expected = min(PIECE, size - start)
        if not isinstance(piece, torch.Tensor) or piece.shape != (expected,) or piece.dtype is not torch.int64:
            raise _misfit()
        pieces.append(piece)
    return torch.cat(pieces)


def opening(party: int, seed: bytes, shapes: list[Public], exchange: Exchange) -> Computing:
    """A node's run that opens all matrices, in messages of `PIECE` numbers. Its material is a seed and no more."""
    preparing = Preparing(Draw(party, seed, b"", b""))
    preparing.open(*(blank(*linear.weight.shape) for linear in shapes))

    def in_pieces(mine: torch.Tensor) -> torch.Tensor:
        return torch.cat([exchange(piece) for piece in torch.split(mine, PIECE)])

    return Computing(party, preparing.made, in_pieces)


def blanks(linear: Public) -> Public:
    """Shapes without content, for a run that computes nothing."""
    weight, bias = linear
    return Public(blank(*weight.shape), None if bias is None else blank(*bias.shape))


def _misfit() -> UnfedError:
    return UnfedError(f"{OWNER} sent what is no share of the weights", kind="protocol", party=OWNER)
