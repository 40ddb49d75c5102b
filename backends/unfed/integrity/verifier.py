"""The verifier: it writes texts for decoys, and does again what nodes did in one. It sees no prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import torch
from transformers import DynamicCache

from unfed.plugins import CLIENT, UnfedError

from ...common.ends import Embedding, Head
from ...common.hidden import Hidden
from ..circuits.hop import Hop, Passage
from ..circuits.onion import Unsealed, bucket, padded, unpadded
from ..names import ENTRIES
from .audit import Judge
from .proof import Proof, Rows, Step, encode, steps_of
from .statements import Signed, Statement
from .writing import write

_UNDECIDED = ("party-lost", "party-hung", "timeout", "cancelled")
"""Kinds of errors that say nothing of what a node has done."""
_OPENED_WITHIN = 10.0
"""Seconds that a node has to open what it sent."""


class Write(msgspec.Struct, frozen=True, array_like=True, tag="write"):
    """Make texts: token ids that go on from `before`, of these lengths, without `never`."""

    before: tuple[int, ...]
    never: int
    lengths: tuple[int, ...]


class Check(msgspec.Struct, frozen=True, array_like=True, tag="check"):
    """Find out whether all did in a session what they state: both entries, and the nodes of `route`. `cells` is what
    each entry was asked."""

    secret: bytes
    route: tuple[str, ...]
    said: tuple[Signed, ...]
    cells: tuple[tuple[tuple[int, bytes], ...], ...]


class Verdict(msgspec.Struct, frozen=True, array_like=True):
    """`party` did `what`, as `proof` shows; nobody did anything wrong where both are empty.

    Without a party, `what` says why it could not be found out.
    """

    party: str = ""
    what: str = ""
    proof: bytes = b""


class Verifier(Hop):
    """Ends circuits of clients, so that it does not know whose they are.

    Settings:
        layers: the replicas that run each range of them, in order.
    """

    async def start(self) -> None:
        await super().start()
        model = self.ctx.model
        self._layers: list[list[str]] = self.ctx.settings["layers"]
        self._judge = Judge(model)
        self._embedding, self._head = Embedding(model), Head(model)
        self._whole = self._judge.shard((0, model.card.layers - 1))
        self.ctx.hold("weights opened", tensors=sorted(model.tensors()))

    async def arrived(self, passage: Passage, told: bytes) -> None:
        pass

    async def received(self, passage: Passage, data: bytes) -> None:
        try:
            asked = _decode(unpadded(data))
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
        cells = [tuple(Step(start, 0, "", data) for start, data in each) for each in asked.cells]
        try:
            for name, mine in zip(ENTRIES, cells, strict=True):
                if found := await self._judged(self._proof(name, said[name], (CLIENT,), (mine,))):
                    return found
            given = tuple(
                [steps_of(await asyncio.to_thread(self._judge.shares, party, mine)) for party, mine in enumerate(cells)]
            )
            senders = tuple(ENTRIES)
            for name in asked.route:
                proof = self._proof(name, said[name], senders, given)
                statement = proof.said()
                opened = await self._open(name, statement, asked.secret)
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

    def _proof(
        self, name: str, signed: Signed, senders: tuple[str, ...], inputs: tuple[tuple[Step, ...], ...]
    ) -> Proof:
        return Proof(
            party=name,
            certificate=self.ctx.certificate(name),
            model=self.ctx.model.card.name,
            statement=signed.data,
            signature=signed.signature,
            senders=senders,
            inputs=inputs,
        )

    async def _open(self, name: str, statement: Statement, secret: bytes) -> list[Rows]:
        """What the node sent, as it says when it has to. Raises UnfedError, naming it and what it did, otherwise."""
        try:
            async with asyncio.timeout(_OPENED_WITHIN):
                found = await self.ctx.call(name, "reveal", session=statement.session, secret=secret)
        except TimeoutError:
            raise UnfedError("did not open what it sent", kind="protocol", party=name) from None
        except UnfedError as error:
            if error.failure.kind not in ("protocol", "role"):
                raise  # it is gone, say
            message = f"did not open what it sent: {error.failure.message}"
            raise UnfedError(message, kind="protocol", party=name) from None
        try:
            rows, starts = torch.split(found["rows"], found["sizes"]), [int(start) for start in found["starts"]]
            if not all(0 <= start < 2**62 for start in starts):
                raise ValueError("no place")
            return [Rows(start, each) for start, each in zip(starts, rows, strict=True)]
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError):
            raise UnfedError("opened what are no rows", kind="protocol", party=name) from None

    def _travelled(self, statement: Statement, opened: Sequence[Rows]) -> tuple[Step, ...]:
        wire = Hidden(statement.wire, self.ctx.model.card.hidden)
        return steps_of([Rows(start, wire.pack(rows[None])[0]) for start, rows in opened])

    async def _judged(self, proof: Proof) -> Verdict | None:
        try:
            what = await asyncio.to_thread(self._judge.fault, proof)
        except UnfedError as error:  # what it shows is not what it signed: no proof, and wrong all the same
            return Verdict(proof.party, f"opened something else: {error.failure.message}")
        return Verdict(proof.party, what, encode(proof)) if what else None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Write | Check).decode
decode_written = msgspec.msgpack.Decoder(list[list[int]]).decode
decode_verdict = msgspec.msgpack.Decoder(Verdict).decode


def encode_cell(told: Write | Check | Verdict | list[list[int]]) -> bytes:
    """At the length of a bucket."""
    data = _encode(told)
    return padded(data, bucket(len(data)))
