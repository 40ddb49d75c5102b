"""The client of `unfed`: it sends keys for its tokens over two circuits, and reads hidden states from a third one."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import torch
from transformers import DynamicCache

from unfed.plugins import Answer, ClientRole, Failure, Metric, Note, Query, Route, Token, UnfedError, serve

from ..common.ends import Head
from ..common.generation import Generation
from ..common.sampling import Sampler
from ..common.shard import shard
from ..common.text import Text
from ..mpc.engine.embedding import keys
from .agreement import agreed
from .checks import Caught, Verification, falls
from .decoys import Decoys
from .mpc_layers.session import LayersSession
from .names import DECOYS, ENTRIES, VERIFIER
from .session import Session
from .statements import Signed
from .texts import Texts, read_texts
from .ways import Way, Ways

log = logging.getLogger("unfed.backends.unfed")

TRIES = 6
"""Losses in a row, without a token between them, after which an answer is given up."""


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
        self._head = Head(model)
        self._head(torch.zeros(1, 1, card.hidden))  # sets up what the libraries set up on first use
        tail: int | None = settings["tail"]
        self._tail = None if tail is None else shard(model, tail, card.layers - 1)
        if self._tail is not None:
            self._tail.warm()
        keys([0], card.vocab)  # compiles, or loads what was compiled
        self._checks = settings["checks"]
        self._caught = Caught(self.ctx, self._checks["proofs"], live=self._checks["kind"] == "live")
        entries, verifier = settings["entries"], settings["verifier"]
        self._ways = Ways(self.ctx, entries, settings["reply"], verifier, settings["nodes"], self._caught.why)
        await self._ways.learn()
        self._sessions: dict[bytes, Session] = {}
        self._stated = bool(verifier)
        self._verification = Verification(self.ctx, self._ways) if verifier else None
        self._decoys: Decoys | None = None
        if self._verification is not None and self._checks["kind"] == "decoys":
            texts = Texts(self._texts_beside(), self._text.encode)
            end = next(iter(self._generation.ends), 0)
            self._decoys = Decoys(self._verification, self._checks["rate"], texts, end, self._decoy)

    def _texts_beside(self) -> list[str]:
        if named := self._checks["decoys"]:
            return read_texts(Path(named).expanduser())
        beside = Path(self.ctx.model.card.folder) / DECOYS
        return read_texts(beside) if beside.is_file() else []

    async def answer(self, query: Query) -> AsyncIterator[Token | Metric | Note | Route | Answer]:
        for note in self._caught.news():
            yield note
        self._caught.check(ENTRIES)
        with self.ctx.phase("tokenise"):
            prompt = self._text.encode(query.prompt)
        sampler = Sampler.of(query, self._generation, prompt, self.ctx.model.card.context)
        if self._decoys is not None:
            self._decoys.asked(query, len(prompt))
            if checked := self._decoys.reported():
                yield Metric(name="decoys checked", value=checked)
        try:
            stream = self._text.stream()
            async with aclosing(self._tokens(prompt, sampler)) as found:
                async for each in found:
                    if isinstance(each, Note | Route):
                        yield each
                        continue
                    token, logits = each
                    text = stream.add(token) + (stream.finish() if sampler.stopped is not None else "")
                    yield Token(id=token, text=text, logits=logits.numpy().tobytes() if query.logits else None)
        except UnfedError:
            for note in self._caught.news():
                yield note
            raise
        finally:
            if self._decoys is not None:
                self._decoys.answered()
        assert sampler.stopped is not None
        yield Answer(text=stream.shown, token_ids=tuple(sampler.tokens), stopped=sampler.stopped)

    async def _tokens(
        self, prompt: list[int], sampler: Sampler
    ) -> AsyncGenerator[tuple[int, torch.Tensor] | Note | Route]:
        """Tokens, and the logits that each was taken from; and what happened on the way.

        Where a party is lost, what there is so far is asked again over others, or over whoever takes its place.
        """
        ids, tries = list(prompt), 0
        while True:
            way = await self._ways.way()
            try:
                async with self._session(way) as session:
                    if sampler.stopped is None:
                        yield Route(steps=way.steps)
                        async with aclosing(self._run(session, ids, sampler)) as found:
                            async for token, logits in found:
                                ids.append(token)
                                tries = 0
                                yield token, logits
                                if (seconds := session.pace.news(last=sampler.stopped is not None)) is not None:
                                    yield Route(steps=way.steps, seconds=seconds)
                        if self._verification is not None:
                            for note in await self._account(session, len(sampler.tokens)):
                                yield note
                return
            except UnfedError as error:
                party, tries = error.failure.party or "", tries + 1
                if error.failure.kind != "party-lost" or tries > TRIES or not await self._ways.misses(party):
                    raise
                if sampler.stopped is not None:
                    yield Note(kind="check", party=party, text="lost before the answer was accounted for")
                    return
                yield Note(kind="retry", party=party, text=f"lost; asked again from token {len(ids) - len(prompt)} on")

    async def _run(
        self, session: Session, ids: list[int], sampler: Sampler
    ) -> AsyncGenerator[tuple[int, torch.Tensor]]:
        """Tokens after `ids`, and the logits that each was taken from."""
        start, asked = 0, len(ids)
        cache = None if self._tail is None else self._tail.new_cache()
        with self.ctx.phase("prefill"):
            await session.open()
        for size in session.parts(asked):
            await session.prepare(size)
            with self.ctx.phase("prefill"):
                await session.ask(ids[start : start + size], start)
                logits = self._logits(await session.result(), cache)
            start += size
        while True:
            token = sampler.take(logits)
            if sampler.stopped is None:
                await session.prepare(1)
            with self.ctx.phase("decode"):
                began = time.perf_counter()
                if sampler.stopped is None:  # the nodes go on while the token is shown
                    await session.ask([token], start)
                    start += 1
                yield token, logits
                if sampler.stopped is not None:
                    return
                logits = self._logits(await session.result(), cache)
                took = time.perf_counter() - began
                self._ways.took(session.way, took)
                session.pace.took(took)

    async def _account(self, session: Session, tokens: int) -> list[Note]:
        """Have all say what they did; with live checks, perhaps done again, and what came of that.

        Raises:
            UnfedError: naming whoever says something else than it did, or did something else than it should.
        """
        with self.ctx.phase("statements"):
            said = await self._said(session)
        if self._checks["kind"] == "live" and falls(self._checks["rate"], tokens):
            with self.ctx.phase("check"):
                told = await self._check(session, said)
            text = "the verifier cannot tell whether it was done as stated" if told else "done again, and as stated"
            return [Note(kind="check", party=VERIFIER, text=text)]
        return []

    async def _said(self, session: Session) -> Sequence[Signed]:
        said = await session.statements()
        ranges = [(first, last) for first, last in self.ctx.settings["ranges"]]
        nodes = dict(zip(session.way.route, ranges, strict=True))
        agreed(self.ctx, session, said, nodes, self.ctx.settings["wire_dtype"])
        return said

    async def _check(self, session: Session, said: Sequence[Signed]) -> str:
        """Have the verifier do it again.

        Returns:
            Why that could not be, if so.

        Raises:
            UnfedError: naming whoever did something else than it should, or is lost.
        """
        assert self._verification is not None
        verdict = await self._verification.check(session, said)
        if session.lost is not None:  # whoever had its messages from the one that is gone cannot be held to anything
            raise session.lost
        if verdict.party:
            raise self._caught.add(verdict)
        return verdict.what

    # -- decoys

    async def ahead(self) -> float | None:
        return None if self._decoys is None else await self._decoys.ahead()

    async def _decoy(self, query: Query, prompt: list[int]) -> bool:
        """A session like any other, of a text that nobody has asked; then it is done again. Whether that could be."""
        sampler = Sampler.of(query, self._generation, prompt, self.ctx.model.card.context)
        try:
            async with self._session(await self._ways.way()) as session:
                async for _ in self._run(session, prompt, sampler):
                    pass
                if told := await self._check(session, await self._said(session)):
                    log.warning("a decoy could not be checked: %s", told)
                    return False
        except UnfedError as error:
            if error.failure.kind == "party-lost":
                log.info("a decoy was broken off: %s", error)
                return False
            if error.failure.kind != "protocol" or error.failure.party is None:
                raise
            self._caught.keep(error.failure.party, error)  # whoever asks next is told
            log.warning("a decoy was not answered as it should be: %s", error)
        return True

    # -- sessions

    @asynccontextmanager
    async def _session(self, way: Way) -> AsyncIterator[Session]:
        """Fresh circuits, which are closed when the caller is done, however that comes."""
        layers: int = self.ctx.settings["mpc_layers"]
        session = LayersSession(self.ctx, way, layers) if layers else Session(self.ctx, way, self._stated)
        self._sessions |= dict.fromkeys(session.names, session)
        self._ways.begins(way)
        try:
            yield session
        finally:
            self._ways.over(way)
            for name in session.names:
                del self._sessions[name]
            await session.close()

    def lost(self, party: str, failure: Failure) -> None:
        self._ways.lost(party, failure)
        for session in set(self._sessions.values()):
            if party in session.way.parties:
                session.fail(UnfedError(failure.message, kind="party-lost", party=party, hint=failure.hint))
        if self._verification is not None:
            self._verification.lost(party, failure)

    def returned(self, party: str) -> None:
        self._ways.returned(party)

    def _logits(self, hidden: torch.Tensor, cache: DynamicCache | None) -> torch.Tensor:
        """Logits [vocab] after the last of [1, t, width]."""
        if self._tail is not None and cache is not None:
            hidden = self._tail(hidden, cache)
        logits: torch.Tensor = self._head(hidden)
        return logits

    @serve
    async def back(self, sender: str, *, circuit: bytes, data: bytes) -> None:
        """A cell of a circuit of ours."""
        if (session := self._sessions.get(circuit)) is not None:
            session.came(sender, circuit, data)
        elif self._verification is not None:
            self._verification.came(circuit, data)
