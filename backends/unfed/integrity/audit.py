"""Doing again what a node has signed that it did, to see whether it did."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from unfed.plugins import CLIENT, Model, UnfedError

from ...common.ends import Embedding
from ...common.hidden import DTYPES, Hidden
from ...common.shard import Shard
from ...mpc.engine.embedding import levels, look_up
from ...mpc.engine.rows import HALF
from ...mpc.engine.rows import Rows as Table
from ..bits import bits_of, numbers_of
from ..circuits.cells import read_keys
from ..circuits.onion import Unsealed
from ..names import ENTRIES
from ..promises import TOLERANCE
from .proof import Proof, Rows, Step, rows_of
from .statements import Statement, Trail, fingerprint, raw


class Judge:
    """Runs any part of a model again.

    Args:
        model: opened to its embedding and all of its layers.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._embedding = Embedding(model)
        self._table = Table(bits_of(self._embedding.tokens.weight.detach()), HALF)
        self._shards: dict[tuple[int, ...], Shard] = {}
        self._prints: dict[tuple[int, ...], bytes] = {}

    def shard(self, layers: tuple[int, ...]) -> Shard:
        """Raises UnfedError for layers that the model does not have."""
        if layers not in self._shards:
            self._shards[layers] = Shard(self._model, *layers)
        return self._shards[layers]

    def shares(self, party: int, cells: Sequence[Step]) -> list[Rows]:
        """Shares of rows, int32, as an entry makes them of its cells. Raises UnfedError for cells that ask nothing."""
        vocab, found = self._model.card.vocab, []
        for cell in cells:
            try:
                _, asked = read_keys(cell.data, vocab, levels(vocab))
            except Unsealed as error:
                raise UnfedError(f"{error}, where keys should be", kind="bad-input") from None
            found.append(Rows(cell.start, look_up(party, asked, self._table).to(torch.int32)))
        return found

    def fault(self, proof: Proof) -> str:
        """What the party did instead of what it should have done; empty where it did that.

        Raises:
            UnfedError: this says nothing of the party: it did not sign it, or what is shown is not what it signed.
        """
        said = proof.said()
        if len(proof.inputs) != len(proof.senders) or [
            _head(said.session, sender, [(step.start, step.data) for step in steps])
            for sender, steps in zip(proof.senders, proof.inputs, strict=True)
        ] != list(said.came):
            raise UnfedError(f"this is not what {proof.party} signed that it received", kind="bad-input")
        if not said.layers:
            return self._fault_of_entry(proof, said)
        return self._fault_of_layers(proof, said)

    def _fault_of_entry(self, proof: Proof, said: Statement) -> str:
        if proof.senders != (CLIENT,) or proof.party not in ENTRIES:
            raise UnfedError(f"{proof.party} is no entry", kind="bad-input")
        sent = self.shares(ENTRIES.index(proof.party), proof.inputs[0])
        right = _head(said.after, proof.party, [(start, raw(rows)) for start, rows in sent])
        if right == said.sent:
            return ""
        return "sent shares that its keys do not give" + self._with(said.weights, (), self._embedding.opened)

    def _fault_of_layers(self, proof: Proof, said: Statement) -> str:
        if len(said.layers) != 2 or said.wire not in DTYPES:
            raise UnfedError(f"{proof.party} states layers or a type that there are none of", kind="bad-input")
        outputs = self._rows_of(proof.outputs, torch.float32)
        if _head(said.after, proof.party, [(start, raw(rows)) for start, rows in outputs]) != said.exact:
            raise UnfedError(f"this is not what {proof.party} signed that it computed", kind="bad-input")
        shard = self.shard(said.layers)
        wanted = self._run(shard, self._rows(proof, said))
        partial = said.layers[1] == self._model.card.layers - 1  # the head, which is next, needs no more
        if (off := deviation(wanted, outputs, partial=partial)) > TOLERANCE:
            how = f"computed something else: off by {off:.2g} of a row's size, where {TOLERANCE:g} is allowed"
            return how + self._with(said.weights, said.layers, shard.tensors)
        last = said.sent == said.exact
        if not last and _head(said.after, proof.party, wired(said.wire, outputs)) != said.sent:
            return "sent something else than it computed"
        return ""

    def _rows_of(self, steps: Sequence[Step], kind: torch.dtype) -> list[Rows]:
        """Rows as wide as hidden states. Their shape and type are not under the signature, so they must be these."""
        found = rows_of(steps)
        if any(rows.dtype is not kind or rows.shape[1] != self._model.card.hidden for _, rows in found):
            raise UnfedError("the proof holds rows of another width or type than they can have", kind="bad-input")
        return found

    def _rows(self, proof: Proof, said: Statement) -> list[Rows]:
        """What came in, as the hidden states that it stands for; places follow one another, as at every node."""
        first = proof.senders == ENTRIES
        given = [self._rows_of(steps, torch.int32 if first else DTYPES[said.wire]) for steps in proof.inputs]
        shapes = [[(start, len(rows)) for start, rows in each] for each in given]
        ends = [0, *(start + count for start, count in shapes[0])]
        if any(each != shapes[0] for each in shapes) or [start for start, _ in shapes[0]] != ends[:-1]:
            raise UnfedError("the proof's steps do not follow one another", kind="bad-input")
        if 0 < self._model.card.context < ends[-1]:
            raise UnfedError("the proof's steps go beyond the model's places", kind="bad-input")
        if not first:
            return [Rows(start, rows.float()) for start, rows in given[0]]
        found = []
        for (start, one), (_, other) in zip(*given, strict=True):
            rows = numbers_of(one + other)
            if (table := self._embedding.positions) is not None:
                rows = rows + table.weight[start : start + len(rows)]
            found.append(Rows(start, rows))
        return found

    def _run(self, shard: Shard, steps: Sequence[Rows]) -> list[Rows]:
        """Raises UnfedError where what came in leads to no finite numbers, which nobody can be held to."""
        cache = shard.new_cache()
        found = [Rows(start, shard(rows[None], cache)[0]) for start, rows in steps]
        if not all(bool(rows.isfinite().all()) for _, rows in found):
            raise UnfedError("what came in leads to no finite numbers", kind="bad-input")
        return found

    def _with(self, told: bytes, layers: tuple[int, ...], tensors: Sequence[str]) -> str:
        """Whether it says that it used the weights that are used here."""
        if layers not in self._prints:
            self._prints[layers] = fingerprint(self._model.tensors(*tensors))
        return "" if self._prints[layers] == told else ", with weights that it says are others than these"


def deviation(wanted: Sequence[Rows], found: Sequence[Rows], *, partial: bool = False) -> float:
    """The largest difference of two runs, in units of its row's root mean square; inf where rows are missing.

    Args:
        partial: of a step, `found` may have its last rows alone, and only those are compared.
    """
    if len(wanted) != len(found):
        return float("inf")
    most = 0.0
    for (start, rows), (at, others) in zip(wanted, found, strict=True):
        few = 0 < len(others) <= len(rows) if partial else len(others) == len(rows)
        if start != at or not few or others.shape[1:] != rows.shape[1:]:
            return float("inf")
        rows = rows[len(rows) - len(others) :]
        scale = rows.square().mean(-1, keepdim=True).sqrt().clamp_min(1e-12)
        worst = float(((others - rows).abs() / scale).max())
        most = max(most, worst if worst == worst else float("inf"))
    return most


def wired(wire: str, steps: Sequence[Rows]) -> list[tuple[int, memoryview]]:
    """Rows [t, width] as bytes in the type of the wire. Raises UnfedError where they do not fit it."""
    return [(start, raw(Hidden(wire, rows.shape[1]).pack(rows[None]))) for start, rows in steps]


def _head(session: bytes, sender: str, steps: Sequence[tuple[int, bytes | memoryview]]) -> bytes:
    trail = Trail(session, sender)
    for start, data in steps:
        trail.add(start, data)
    return trail.head
