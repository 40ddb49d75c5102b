"""Sessions of `unfed` without a fleet: its layers run here one after another, and each node states what it did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch

from unfed.backends.common.folded import streamed
from unfed.backends.common.hidden import Hidden
from unfed.backends.common.shard import Shard
from unfed.backends.mpc.engine.embedding import keys, levels, look_up
from unfed.backends.mpc.engine.ring import decode, encode
from unfed.backends.mpc.engine.ring import share as shared
from unfed.backends.mpc.engine.rows import HALF
from unfed.backends.mpc.engine.rows import Rows as Table
from unfed.backends.unfed.bits import bits_of, numbers_of
from unfed.backends.unfed.circuits.cells import Over, asked, read
from unfed.backends.unfed.integrity.audit import Judge
from unfed.backends.unfed.integrity.ledger import Ledger, Ledgers
from unfed.backends.unfed.integrity.proof import Proof, Rows, Step, steps_of, steps_of_shares
from unfed.backends.unfed.integrity.statements import Signed, raw, scaled
from unfed.backends.unfed.names import ENTRIES
from unfed.console.party.identity import Identity
from unfed.console.party.model import OpenModel
from unfed.console.runner.models import read_card
from unfed.plugins import CLIENT, Context, OpenedModel

SESSION, NEXT, RELEASE = bytes(16), bytes(range(16)), bytes(range(32))
SCALE = 18
"""Of shares over Z_2^64."""


class Signing:
    """As much of a context as statements need, with a real key; every peer's certificate is at hand."""

    def __init__(self, name: str, known: dict[str, Identity]) -> None:
        self.name, self._known = name, known

    def sign(self, data: bytes) -> bytes:
        return self._known[self.name].sign(data)

    def certificate(self, party: str) -> str:
        return self._known[party].certificate


def contexts(*names: str) -> dict[str, Context]:
    """A context for each, which know one another."""
    known = {name: Identity(name) for name in names}
    return {name: cast("Context", Signing(name, known)) for name in names}


def opened(folder: Path) -> OpenModel:
    return OpenModel("a test", OpenedModel(read_card(folder), ("all",)))


Change = Callable[[torch.Tensor], torch.Tensor]


class Asked(NamedTuple):
    """What both entries were asked, and the shares that they make of it: by entry, a step each."""

    cells: list[list[Step]]
    shares: list[list[Rows]]


class Rig:
    """A model, whoever judges, and the shards that it was cut into; layers before the first one are the entries'."""

    def __init__(self, folder: Path, *cuts: tuple[int, int]) -> None:
        self.model = opened(folder)
        self.judge = Judge(self.model)
        self.shards = [Shard(self.model, *cut) for cut in cuts]
        self.names = tuple(f"layers-{number}" for number in range(len(cuts)))
        self.contexts = contexts(*ENTRIES, *self.names)
        embedding = self.judge._embedding
        self._table = Table(bits_of(embedding.tokens.weight.detach()), HALF)
        self._entry_tensors = self.model.tensors(*embedding.opened)
        self.shared = (0, cuts[0][0] - 1) if cuts and cuts[0][0] else ()

    def asks(self, steps: Sequence[Sequence[int]]) -> Asked:
        made = Asked([[], []], [[], []])
        start, vocab = 0, self.model.card.vocab
        for ids in steps:
            for party, each in enumerate(keys(list(ids), vocab)):
                made.cells[party].append(Step(start, 0, "", asked(start, each)))
                found = read(made.cells[party][-1].data, vocab, levels(vocab))
                assert not isinstance(found, Over)
                made.shares[party].append(Rows(start, look_up(party, found[1], self._table).to(torch.int32)))
            start += len(ids)
        return made

    def computes(self, made: Asked, change: Change = lambda rows: rows) -> list[list[Rows]]:
        """Shares of what the entries compute together of such cells, `change` having been done to what they are of."""
        asked = self.judge.looked_up(made.shares)
        found: list[list[Rows]] = [[], []]
        for start, rows in self.judge.run(self.judge.shard(self.shared), asked):
            hidden = change(streamed(self.model.card, rows))
            for mine, words in zip(found, shared(encode(hidden, SCALE)), strict=True):
                mine.append(Rows(start, words))
        return found

    def computed(self, party: int, made: Asked, shares: Sequence[Sequence[Rows]]) -> Proof:
        """What an entry states of such cells, and of its shares of what both have computed."""
        name = ENTRIES[party]
        ledgers, ledger = self._ledger(name, self.shared, "z64", (CLIENT,), SESSION)
        for cell, (start, words) in zip(made.cells[party], shares[party], strict=True):
            ledger.receives(CLIENT, start, cell.data)
            ledger.shares(start, words, SCALE)
        return self._stated(name, ledgers, (CLIENT,), (tuple(made.cells[party]),), ())

    def entry(self, party: int, made: Asked, change: Change = lambda rows: rows) -> Proof:
        """What an entry states of such cells, `change` having been done to its shares."""
        name, (ledgers, ledger) = ENTRIES[party], self._ledger(ENTRIES[party], (), "z32", (CLIENT,), SESSION)
        for cell, (start, share) in zip(made.cells[party], made.shares[party], strict=True):
            ledger.receives(CLIENT, start, cell.data)
            ledger.sent.add(start, raw(change(share)))
        return self._stated(name, ledgers, (CLIENT,), (tuple(made.cells[party]),), ())

    def layers(
        self,
        number: int,
        given: Sequence[Sequence[Rows]],
        wire: str = "fp32",
        change: Change = lambda rows: rows,
        send: Change = lambda rows: rows,
    ) -> tuple[Proof, list[Rows]]:
        """What a node states when it is given such steps (by sender), and what the next one is given then.

        Args:
            change: done to what it computed; send: done to what it sends.
        """
        shard, last = self.shards[number], number == len(self.shards) - 1
        senders = ENTRIES if number == 0 else (self.names[number - 1],)
        run, name = (shard.first, shard.last), self.names[number]
        ledgers, ledger = self._ledger(name, run, wire, senders, SESSION)
        hidden, cache, on = Hidden(wire, self.model.card.hidden), shard.new_cache(), list[Rows]()
        for each in zip(*given, strict=True):
            start = each[0].start
            for sender, (_, rows) in zip(senders, each, strict=True):
                ledger.receives(sender, start, scaled(rows, SCALE) if number == 0 and self.shared else raw(rows))
            if number == 0 and self.shared:
                rows = decode(each[0].rows + each[1].rows, SCALE).float()
            elif number == 0:
                rows = numbers_of(each[0].rows + each[1].rows)
                if (positions := self.judge._embedding.positions) is not None:
                    rows = rows + positions.weight[start : start + len(rows)].detach()
            else:
                rows = each[0].rows.float()
            right = change(shard(rows[None], cache))
            right = right[:, -1:] if last else right
            packed = right if last else hidden.pack(send(right))
            ledger.sends(start, right, packed)
            on.append(Rows(start, packed[0]))
        rows_of_it = [Rows(start, rows) for start, rows in zip(ledger.starts, ledger.rows, strict=True)]
        packed_steps = partial(steps_of_shares, scale=SCALE) if number == 0 and self.shared else steps_of
        inputs = tuple(packed_steps(each) for each in given)
        return self._stated(name, ledgers, senders, inputs, steps_of(rows_of_it)), on

    def _ledger(
        self, name: str, run: tuple[int, ...], wire: str, senders: Sequence[str], session: bytes
    ) -> tuple[Ledgers, Ledger]:
        tensors: dict[str, Any] = self._entry_tensors
        if run:
            tensors = self.model.tensors(*self.judge.shard(run).tensors)
        ledgers = Ledgers(self.contexts[name], run, tensors, wire, lambda seconds, do: None)
        return ledgers, ledgers.of(session, session if senders == (CLIENT,) else NEXT, senders)

    def _stated(
        self,
        name: str,
        ledgers: Ledgers,
        senders: tuple[str, ...],
        inputs: tuple[tuple[Step, ...], ...],
        outputs: tuple[Step, ...],
    ) -> Proof:
        signed: Signed = ledgers.commit(SESSION, RELEASE, {})
        return Proof(
            party=name,
            certificate=self.contexts[name].certificate(name),
            model=self.model.card.name,
            statement=signed.data,
            signature=signed.signature,
            senders=senders,
            inputs=inputs,
            outputs=outputs,
        )
