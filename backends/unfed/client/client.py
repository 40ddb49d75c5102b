"""The client of `unfed`: it sends keys for its tokens over two circuits, and reads hidden states from a third one."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import torch

from unfed.plugins import Answer, ClientRole, Failure, Note, Query, Route, Token, UnfedError, serve

from ...common.ends import Head
from ...common.generation import Generation
from ...common.sampling import Sampler
from ...common.shard import shard
from ...common.text import Text
from ...mpc.engine.embedding import keys
from ..names import DEALER, DECOYS, ENTRIES, VERIFIER
from .accounts import Accounts
from .caught import Caught, Failed
from .decoys import Decoys
from .runs import Runs
from .texts import Texts, read_texts
from .verification import Verification
from .ways import Ways

log = logging.getLogger("unfed.backends.unfed")


class Client(ClientRole):
    """Settings:
    entries, reply, verifier: names of the hops of the circuits, guard first: to each entry, to the last of the layers
        but without it, and to the verifier, where there is one.
    nodes: the replicas that run each range of layers.
    ranges: the first and the last layer of each; wire_dtype: of hidden states between them.
    tail: the first of the layers that the client runs itself, or None.
    mpc_layers: how many layers the entries run.
    checks: `kind`, `rate`, `decoys` and `proofs`, as the options of these names.
    """

    async def start(self) -> None:
        model, settings = self.ctx.model, self.ctx.settings
        card = model.card
        self._text = Text.of(card)
        self._generation = Generation.of(model.folder, card.name)
        head = Head(model)
        head(torch.zeros(1, 1, card.hidden))  # sets up what the libraries set up on first use
        tail: int | None = settings["tail"]
        own = None if tail is None else shard(model, tail, card.layers - 1)
        if own is not None:
            own.warm()
        keys([0], card.vocab)  # compiles, or loads what was compiled
        self._checks = settings["checks"]
        self._caught = Caught(self.ctx, self._checks["proofs"], live=self._checks["kind"] == "live")
        entries, verifier = settings["entries"], settings["verifier"]
        beside = (DEALER,) if settings["mpc_layers"] else ()
        ways = Ways(self.ctx, entries, settings["reply"], verifier, settings["nodes"], self._caught.why, beside)
        await ways.learn()
        verification = Verification(self.ctx, ways) if verifier else None
        accounts = Accounts(self.ctx, verification, self._caught) if verification is not None else None
        self._runs = Runs(self.ctx, head, own, ways, accounts)
        self._decoys: Decoys | None = None
        if verification is not None and self._checks["kind"] == "decoys":
            texts = Texts(self._texts_beside(), self._text.encode)
            end = next(iter(self._generation.ends), 0)
            self._decoys = Decoys(verification, self._checks["rate"], texts, end, self.ctx.rehearse, self.ctx.tell)

    def _texts_beside(self) -> list[str]:
        if named := self._checks["decoys"]:
            return read_texts(Path(named).expanduser())
        beside = Path(self.ctx.model.card.folder) / DECOYS
        return read_texts(beside) if beside.is_file() else []

    async def answer(self, query: Query) -> AsyncIterator[Token | Note | Route | Answer]:
        if self._decoys is not None and (text := self._decoys.given(query.id)) is not None:
            async with aclosing(self._pretend(query, text, self._decoys)) as events:
                async for event in events:
                    yield event
            return
        self._caught.check(ENTRIES)
        with self.ctx.phase("tokenise"):
            prompt = self._text.encode(query.prompt)
        sampler = self._sampler(query, prompt)
        if self._decoys is not None:
            self._decoys.asked(query, len(prompt))
        try:
            async with aclosing(self._events(query, sampler, self._runs.tokens(prompt, sampler))) as found:
                async for answered in found:
                    yield answered
        except UnfedError:
            for note in self._caught.news():
                yield note
            raise
        finally:
            if self._decoys is not None:
                self._decoys.answered()

    async def _events(
        self, query: Query, sampler: Sampler, found: AsyncGenerator[tuple[int, torch.Tensor] | Note | Route]
    ) -> AsyncGenerator[Token | Note | Route | Answer]:
        stream = self._text.stream()
        async with aclosing(found):
            async for each in found:
                if isinstance(each, Note | Route):
                    yield each
                    continue
                token, logits = each
                text = stream.add(token) + (stream.finish() if sampler.stopped is not None else "")
                yield Token(id=token, text=text, logits=logits.numpy().tobytes() if query.logits else None)
        assert sampler.stopped is not None
        yield Answer(text=stream.shown, token_ids=tuple(sampler.tokens), stopped=sampler.stopped)

    # -- decoys

    async def ahead(self) -> float | None:
        self._tell_of_caught()  # a query may have been cancelled before it could
        return None if self._decoys is None else await self._decoys.ahead()

    async def _pretend(
        self, query: Query, text: list[int], decoys: Decoys
    ) -> AsyncGenerator[Token | Note | Route | Answer]:
        """Answer a decoy: what can be seen of it is done as for a real query, and what came of it is told apart."""
        sampler = self._sampler(query, text)
        try:
            async with aclosing(self._events(query, sampler, self._runs.decoy(text, sampler))) as events:
                async for event in events:
                    yield event
            decoys.told("was done again, and all was as stated")
        except UnfedError as error:
            failure = error.failure
            if isinstance(error, Failed):
                self._tell_of_caught()
            elif failure.kind == "protocol" and failure.party is not None:
                self._caught.keep(failure.party, error)
                self._tell_of_caught()
            else:
                decoys.told(f"could not be checked: {failure.message}", failure.party or VERIFIER)
            level = logging.INFO if failure.kind == "party-lost" else logging.WARNING
            log.log(level, "a decoy was not answered and checked: %s", error)

    def _tell_of_caught(self) -> None:
        for note in self._caught.news():
            self.ctx.tell(note)

    def _sampler(self, query: Query, prompt: list[int]) -> Sampler:
        return Sampler.of(query, self._generation, prompt, self.ctx.model.card.context)

    # -- what is heard

    def lost(self, party: str, failure: Failure) -> None:
        self._runs.lost(party, failure)

    def returned(self, party: str) -> None:
        self._runs.returned(party)

    @serve
    async def back(self, sender: str, *, circuit: bytes, data: bytes) -> None:
        """A cell of a circuit of ours."""
        self._runs.came(sender, circuit, data)
