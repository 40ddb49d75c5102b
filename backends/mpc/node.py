"""A compute node: holds weights and a share of everything that depends on the prompt."""

from __future__ import annotations

import asyncio

import torch

from unfed.plugins import Role, UnfedError, serve

from ..common.folded import fold
from ..common.whole import Whole
from .backend import DEALER, NODES
from .engine.embedding import Keys, fits
from .transformer.bounds import fit
from .transformer.calibrate import calibrate
from .transformer.program import Transformer
from .transformer.public import fixed
from .transformer.running import Material, RunSession
from .transformer.scales import Format
from .transformer.warm import warm
from .transformer.weights import Weights


class Node(Role):
    """Holds public weights."""

    async def start(self) -> None:
        self._party: int = self.ctx.settings["party"]
        self._peer = NODES[1 - self._party]
        self._format, weights = await self._weights()
        self._transformer = Transformer(weights, self._format)
        warm(self._transformer, self._party)
        self._sessions: dict[str, RunSession] = {}

    async def _weights(self) -> tuple[Format, Weights]:
        card, settings = self.ctx.model.card, self.ctx.settings
        folded = fold(self.ctx.model)
        if self._party == 0:
            format = fit(folded, calibrate(Whole(card).model, settings["context"], settings["softmax"]))
        else:
            format = Format.travelled(await self.ctx.call(NODES[0], "format"))
        self.ctx.hold("weights opened", tensors=sorted(card.tensors))
        return format, fixed(folded, format.scales)

    async def forget(self, query: str) -> None:
        """A session bears the id of the query that it was prepared for, or of what was done ahead."""
        if (session := self._sessions.pop(query, None)) is not None:
            session.close()

    @serve
    async def format(self, sender: str) -> list[object]:
        """How the model's numbers are held, from its weights and from running it on random tokens."""
        return list(self._format)

    @serve
    async def prepare(self, sender: str, *, session: str, step: int, start: int, tokens: int) -> None:
        """Fetch and expand the randomness of a session's next step, of so many rows after `start` others."""
        self._client_only(sender)
        if session == self.ctx.query:
            self._sessions.setdefault(session, RunSession(self._party))
        known = self._sessions.get(session)
        if known is None or step != known.prepared or start != known.ahead or tokens < 1:
            raise UnfedError(f"{sender} prepares step {step} at {start} out of turn", kind="protocol", party=sender)
        known.prepared, known.ahead = step + 1, start + tokens
        part = await self.ctx.call(DEALER, "material", session=session, step=step, start=start, tokens=tokens)
        await asyncio.to_thread(known.prepare, self._transformer, start, tokens, Material.travelled(part, DEALER))

    @serve
    async def step(
        self,
        sender: str,
        *,
        session: str,
        step: int,
        root: torch.Tensor,
        seeds: torch.Tensor,
        bits: torch.Tensor,
        last: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Run tokens, given as keys, through the model: shares of the last logits and of how many guards fell.

        A prompt may have fewer tokens than rows were prepared for it (see `Transformer.step`).
        """
        self._client_only(sender)
        known, given = self._sessions.get(session), Keys(root, seeds, bits, last)
        if known is None or step != known.done or not known.ready:
            raise UnfedError(f"{sender} runs step {step}, which is not prepared", kind="protocol", party=sender)
        pad = known.ready[0].tokens - len(root)
        if not fits(given, self.ctx.model.card.vocab) or not len(root) or pad < 0 or (pad and step):
            raise UnfedError(f"{sender} sent keys that do not fit what was prepared", kind="protocol", party=sender)
        known.done, known.pad = step + 1, known.pad if step else pad
        logits, guard = await asyncio.to_thread(self._run, known, given)
        self.ctx.contribute(layer_tokens=self.ctx.model.card.layers * len(root))
        return {"logits": logits, "guard": guard.reshape(1)}

    def _run(self, session: RunSession, keys: Keys) -> tuple[torch.Tensor, torch.Tensor]:
        if session.channel is None:
            session.channel = self.ctx.channel(self._peer, f"shares {self.ctx.query}")
        given = self._transformer.weights.embedding.given(self._party, keys)
        return session.run(self._transformer, self._peer, given)

    def _client_only(self, sender: str) -> None:
        if sender != "client":
            raise UnfedError(f"{sender} asked for what only the client may", kind="protocol", party=sender)
