"""A node's side of a session: it prepares steps with the dealer's material, then runs them with its peer."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeGuard

import torch

from unfed.plugins import Channel, UnfedError

from ..engine.blank import blank
from ..engine.material import Draw
from ..engine.ring import SEED
from ..engine.session import Computing, Exchange, Preparing
from .program import Cache, Transformer


class Material(NamedTuple):
    """A node's part of a step's material, as `Draw` takes it."""

    seed: bytes
    common: memoryview
    own: memoryview

    @classmethod
    def travelled(cls, fields: Mapping[str, Any], dealer: str) -> Material:
        """From the dealer's message. Raises UnfedError (`protocol`, naming it) where it is something else."""
        seed, common, own = (fields.get(name) for name in ("seed", "common", "own"))
        if not (isinstance(seed, bytes) and len(seed) == SEED and _is_bytes(common) and _is_bytes(own)):
            raise UnfedError(f"the {dealer} sent what is no material", kind="protocol", party=dealer)
        return cls(seed, common.numpy().data, own.numpy().data)


class _Prepared(NamedTuple):
    """The material of one step. It is taken apart as it is used, so that it cannot be used twice."""

    start: int
    tokens: int
    made: deque[Any]


class RunSession:
    """One session at one node.

    Attributes:
        prepared, ahead: steps and rows that material was asked for; whoever asks counts.
        done: steps that were run; likewise.
        pad: rows before the first token's.
        ready: what was prepared and not yet run.
        channel: with the other node; whoever opens it puts it here.
    """

    def __init__(self, party: int) -> None:
        self.channel: Channel | None = None
        self.prepared = self.ahead = self.done = self.pad = 0
        self.ready: deque[_Prepared] = deque()
        self._party = party
        self._masks, self._cache = Cache(), Cache()

    def prepare(self, transformer: Transformer, start: int, tokens: int, material: Material) -> None:
        """Expand the material of the next step, of `tokens` rows after `start` others."""
        preparing = Preparing(Draw(self._party, *material))
        transformer.step(preparing, blank(tokens, transformer.weights.embedding.extent), self._masks, start)
        preparing.draw.finish()
        self.ready.append(_Prepared(start, tokens, preparing.made))

    def run(self, transformer: Transformer, peer: str, given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the next step over the channel with `peer`: see `Transformer.step`."""
        channel, step = self.channel, self.ready.popleft()
        assert channel is not None
        computing = Computing(self._party, step.made, exchanging(channel, peer))
        return transformer.step(computing, given, self._cache, step.start, self.pad)

    def close(self) -> None:
        if self.channel is not None:
            self.channel.close()


def exchanging(channel: Channel, peer: str) -> Exchange:
    """How a run exchanges shares with the other node. Raises UnfedError (`protocol`) for what does not fit."""

    def exchange(mine: torch.Tensor) -> torch.Tensor:
        theirs = channel.exchange(opened=mine).get("opened")
        if not isinstance(theirs, torch.Tensor) or theirs.shape != mine.shape or theirs.dtype is not torch.int64:
            raise UnfedError(f"{peer} sent shares that do not fit", kind="protocol", party=peer)
        return theirs

    return exchange


def _is_bytes(part: Any) -> TypeGuard[torch.Tensor]:
    return isinstance(part, torch.Tensor) and part.dtype is torch.uint8 and part.dim() == 1
