"""Doing again what a node has signed that it did, to see whether it did."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from unfed.plugins import CLIENT, Model, UnfedError

from ...common.ends import Embedding
from ...common.hidden import DTYPES, Hidden
from ...common.shard import Shard
from ...mpc.engine.embedding import levels, look_up
from ...mpc.engine.ring import decode
from ...mpc.engine.rows import HALF
from ...mpc.engine.rows import Rows as Table
from ..bits import bits_of, numbers_of
from ..circuits.cells import read_keys
from ..circuits.onion import Unsealed
from ..names import ENTRIES
from ..promises import TOLERANCE
from .proof import Proof, Rows, Step, rows_of, shares_of
from .statements import Statement, fingerprint, head, raw


class Judge:
    """Runs any part of a model again.

    Args:
        model: opened to its embedding and all of its layers.
    Attributes:
        card: its.
    """

    def __init__(self, model: Model) -> None:
        self._model, self.card = model, model.card
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
        vocab, found = self.card.vocab, []
        for cell in cells:
            try:
                _, asked = read_keys(cell.data, vocab, levels(vocab))
            except Unsealed as error:
                raise UnfedError(f"{error}, where keys should be", kind="bad-input") from None
            found.append(Rows(cell.start, look_up(party, asked, self._table).to(torch.int32)))
        return found

    def looked_up(self, shares: Sequence[Sequence[Rows]]) -> list[Rows]:
        """Hidden states that both entries' shares of rows add up to, with their positions. Raises UnfedError where they
        are no numbers."""
        found = []
        for (start, one), (_, other) in zip(*shares, strict=True):
            rows = numbers_of(one + other)
            if (table := self._embedding.positions) is not None:
                rows = rows + table.weight[start : start + len(rows)]
            found.append(Rows(start, rows))
        return found

    def fault(self, proof: Proof) -> str:
        """What the party did instead of what it should have done; empty where it did that.

        Raises:
            UnfedError: this says nothing of the party: it did not sign it, or what is shown is not what it signed.
        """
        said = proof.said()
        if len(proof.inputs) != len(proof.senders) or [
            head(said.session, sender, [(step.start, step.data) for step in steps])
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
        right = head(said.after, proof.party, [(start, raw(rows)) for start, rows in sent])
        if right == said.sent:
            return ""
        return "sent shares that its keys do not give" + self._with(said.weights, (), self._embedding.opened)

    def _fault_of_layers(self, proof: Proof, said: Statement) -> str:
        if len(said.layers) != 2 or said.wire not in DTYPES:
            raise UnfedError(f"{proof.party} states layers or a type that there are none of", kind="bad-input")
        outputs = self._as(rows_of(proof.outputs), torch.float32)
        if head(said.after, proof.party, [(start, raw(rows)) for start, rows in outputs]) != said.exact:
            raise UnfedError(f"this is not what {proof.party} signed that it computed", kind="bad-input")
        shard = self.shard(said.layers)
        wanted = self.run(shard, self._rows(proof, said))
        partial = said.layers[1] == self.card.layers - 1  # the head, which is next, needs no more
        if (off := deviation(wanted, outputs, partial=partial)) > TOLERANCE:
            how = f"computed something else: off by {off:.2g} of a row's size, where {TOLERANCE:g} is allowed"
            return how + self._with(said.weights, said.layers, shard.tensors)
        last = said.sent == said.exact
        if not last and head(said.after, proof.party, wired(said.wire, outputs)) != said.sent:
            return "sent something else than it computed"
        return ""

    def _as(self, found: list[Rows], kind: torch.dtype) -> list[Rows]:
        """Rows as wide as hidden states. Their shape and type are not under the signature, so they must be these."""
        if any(rows.dtype is not kind or rows.shape[1] != self.card.hidden for _, rows in found):
            raise UnfedError("the proof holds rows of another width or type than they can have", kind="bad-input")
        return found

    def _rows(self, proof: Proof, said: Statement) -> list[Rows]:
        """What came in, as the hidden states that it stands for; places follow one another, as at every node."""
        entered = proof.senders == ENTRIES
        if entered and said.layers[0]:
            return self._hidden(proof)
        kind = torch.int32 if entered else DTYPES[said.wire]
        given = self._following([self._as(rows_of(steps), kind) for steps in proof.inputs])
        return self.looked_up(given) if entered else [Rows(start, rows.float()) for start, rows in given[0]]

    def _hidden(self, proof: Proof) -> list[Rows]:
        """What came in where the entries have run layers: as the node that goes on with it puts it together."""
        taken = [shares_of(steps) for steps in proof.inputs]
        given = self._following([self._as(words, torch.int64) for words, _ in taken])
        if taken[0][1] != taken[1][1] or not all(0 <= scale < 63 for scale in taken[0][1]):
            raise UnfedError("the proof holds shares that do not go together", kind="bad-input")
        return [
            Rows(start, decode(one + other, scale).float())
            for (start, one), (_, other), scale in zip(*given, taken[0][1], strict=True)
        ]

    def _following(self, given: list[list[Rows]]) -> list[list[Rows]]:
        """Raises UnfedError where steps are not of places one after the other, and the same of all senders."""
        shapes = [[(start, len(rows)) for start, rows in each] for each in given]
        ends = [0, *(start + count for start, count in shapes[0])]
        if any(each != shapes[0] for each in shapes) or [start for start, _ in shapes[0]] != ends[:-1]:
            raise UnfedError("the proof's steps do not follow one another", kind="bad-input")
        if 0 < self.card.context < ends[-1]:
            raise UnfedError("the proof's steps go beyond the model's places", kind="bad-input")
        return given

    def run(self, shard: Shard, steps: Sequence[Rows]) -> list[Rows]:
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
