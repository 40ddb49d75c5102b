"""The verifier: it writes texts for decoys, and does again what nodes did in one. It sees no prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import torch
from transformers import DynamicCache

from unfed.plugins import CLIENT, UnfedError

from ...common.ends import Embedding, Head
from ...common.hidden import Hidden
from ..circuits.hop import Hop, Passage
from ..circuits.onion import Unsealed, unpadded
from ..names import DEALER, ENTRIES
from . import together
from .audit import Judge
from .messages import Check, Verdict, Write, decode_asked, encode_cell
from .opened import read_rows, read_shares
from .proof import Proof, Rows, Step, encode, steps_of, steps_of_shares
from .statements import Signed, Statement, head, read
from .writing import write

_UNDECIDED = ("party-lost", "party-hung", "timeout", "cancelled")
"""Kinds of errors that say nothing of what a node has done."""
_OPENED_WITHIN = 10.0
"""Seconds that a node has to open what it sent."""
Given = tuple[tuple[Step, ...], ...]
"""What a node received, by sender."""


class Verifier(Hop):
    """Ends circuits of clients, so that it does not know whose they are.

    Settings:
        layers: the replicas that run each range of them, in order.
        ranges: the first and the last layer of each.
        mpc_layers: how many the entries run before.
    """

    async def start(self) -> None:
        await super().start()
        model = self.ctx.model
        self._layers: list[list[str]] = self.ctx.settings["layers"]
        self._shared: int = self.ctx.settings["mpc_layers"]
        self._judge = Judge(model)
        self._embedding, self._head = Embedding(model), Head(model)
        self._whole = self._judge.shard((0, model.card.layers - 1))
        shared = [(0, self._shared - 1)] if self._shared else []
        for run in ((0, model.card.layers - 1), *self.ctx.settings["ranges"], *shared):
            self._judge.shard(tuple(run)).warm()  # or the first check would take longer
        self.ctx.hold("weights opened", tensors=sorted(model.tensors()))

    async def arrived(self, passage: Passage, told: bytes) -> None:
        pass

    async def received(self, passage: Passage, data: bytes) -> None:
        try:
            asked = decode_asked(unpadded(data))
        except (Unsealed, msgspec.MsgspecError):
            raise self._misused(passage.before[0], "asked the verifier for nothing that there is") from None
        found: list[list[int]] | Verdict
        if isinstance(asked, Write):
            found = await asyncio.to_thread(self._write, asked)
        else:
            found = await self._check(asked)
        data = encode_cell(found)
        await self.answer(passage, data)

    def _write(self, asked: Write) -> list[list[int]]:
        texts = []
        for length in asked.lengths:
            cache = self._whole.new_cache()

            def logits(ids: list[int], start: int, cache: DynamicCache = cache) -> torch.Tensor:
                found: torch.Tensor = self._head(self._whole(self._embedding(torch.tensor([ids]), start), cache))
                return found

            texts.append(write(logits, asked.before, asked.never, length))
        return texts

    async def _check(self, asked: Check) -> Verdict:
        names = (*ENTRIES, *asked.route)
        if len(asked.said) != len(names) or len(asked.cells) != len(ENTRIES):
            return Verdict(what="statements or cells are missing")
        if len(asked.route) != len(self._layers) or any(
            name not in replicas for name, replicas in zip(asked.route, self._layers, strict=True)
        ):
            return Verdict(what="the route is none")
        said = {name: signed for name, signed in zip(names, asked.said, strict=True)}
        cells = tuple(tuple(Step(start, 0, "", data) for start, data in each) for each in asked.cells)
        try:
            given = await (self._computed(said, cells, asked.secret) if self._shared else self._looked_up(said, cells))
            if isinstance(given, Verdict):
                return given
            senders = tuple(ENTRIES)
            for name in asked.route:
                proof = self._proof(name, said[name], senders, given)
                statement = proof.said()
                opened = read_rows(name, await self._open(name, statement, asked.secret))
                proof = msgspec.structs.replace(proof, outputs=steps_of(opened))
                if found := await self._judged(proof):
                    return found
                given, senders = (self._travelled(statement, opened),), (name,)
        except UnfedError as error:
            if error.failure.party not in names:
                raise
            if error.failure.kind in _UNDECIDED:
                return Verdict(what=f"{error.failure.party} is not there any more")
            return Verdict(error.failure.party or "", error.failure.message)
        return Verdict()

    async def _looked_up(self, said: dict[str, Signed], cells: Given) -> Given | Verdict:
        """What the entries sent, each by itself, if they did what they should."""
        for name, mine in zip(ENTRIES, cells, strict=True):
            if found := await self._judged(self._proof(name, said[name], (CLIENT,), (mine,))):
                return found
        return tuple(
            [steps_of(await asyncio.to_thread(self._judge.shares, party, mine)) for party, mine in enumerate(cells)]
        )

    async def _computed(self, said: dict[str, Signed], cells: Given, secret: bytes) -> Given | Verdict:
        """What the entries sent, as they open it, if they and the dealer did together what they should.

        This comes before any node is held to what it made of that: it may be numbers that nothing can be made of.
        """
        given, sent = [], []
        for name in ENTRIES:
            statement = read(said[name], name, self.ctx.certificate(name))
            shares, scale = read_shares(name, await self._open(name, statement, secret), self._judge.card.hidden)
            steps = steps_of_shares(shares, scale)
            if head(statement.after, name, [(step.start, step.data) for step in steps]) != statement.sent:
                return Verdict(name, f"opened something else: this is not what {name} signed that it sent")
            given.append(steps)
            sent.append((shares, scale))
        layers = (0, self._shared - 1)
        try:
            what = await asyncio.to_thread(together.fault, self._judge, layers, cells, sent)
        except UnfedError as error:
            return Verdict(what=error.failure.message)
        return Verdict(what=what, among=(*ENTRIES, DEALER)) if what else tuple(given)

    def _proof(self, name: str, signed: Signed, senders: tuple[str, ...], inputs: Given) -> Proof:
        return Proof(
            party=name,
            certificate=self.ctx.certificate(name),
            model=self.ctx.model.card.name,
            statement=signed.data,
            signature=signed.signature,
            senders=senders,
            inputs=inputs,
        )

    async def _open(self, name: str, statement: Statement, secret: bytes) -> dict[str, Any]:
        """What the node sent, as it says when it has to. Raises UnfedError, naming it and what it did, otherwise."""
        try:
            async with asyncio.timeout(_OPENED_WITHIN):
                found: dict[str, Any] = await self.ctx.call(name, "reveal", session=statement.session, secret=secret)
                return found
        except TimeoutError:
            raise UnfedError("did not open what it sent", kind="protocol", party=name) from None
        except UnfedError as error:
            if error.failure.kind not in ("protocol", "role"):
                raise  # it is gone, say
            message = f"did not open what it sent: {error.failure.message}"
            raise UnfedError(message, kind="protocol", party=name) from None

    def _travelled(self, statement: Statement, opened: Sequence[Rows]) -> tuple[Step, ...]:
        wire = Hidden(statement.wire, self.ctx.model.card.hidden)
        return steps_of([Rows(start, wire.pack(rows[None])[0]) for start, rows in opened])

    async def _judged(self, proof: Proof) -> Verdict | None:
        try:
            what = await asyncio.to_thread(self._judge.fault, proof)
        except UnfedError as error:  # what it shows is not what it signed: no proof, and wrong all the same
            return Verdict(proof.party, f"opened something else: {error.failure.message}")
        return Verdict(proof.party, what, encode(proof)) if what else None
