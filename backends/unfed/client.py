"""The client of `unfed`: it sends keys for its tokens over two circuits, and reads hidden states from a third one."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import torch
from transformers import DynamicCache

from unfed.plugins import Answer, ClientRole, Metric, Query, Token, UnfedError, serve

from ..common.ends import Head
from ..common.generation import Generation
from ..common.sampling import Sampler
from ..common.shard import shard
from ..common.text import Text
from ..mpc.engine.embedding import keys
from .agreement import agreed
from .checks import Caught, Verification, falls
from .decoys import Decoys
from .hop import public_keys
from .names import DECOYS
from .onion import Hop
from .session import Session
from .statements import Signed
from .texts import Texts, read_texts

log = logging.getLogger("unfed.backends.unfed")


class Client(ClientRole):
    """Settings:
    paths: names of the hops of the circuits, guard first: to each entry, to the last of the layers, and to the verifier
        where there is one.
    nodes: those that run the layers, in order, each with its first and last.
    wire_dtype: of hidden states between them.
    tail: the first of the layers that the client runs itself, or None.
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
        paths: list[list[str]] = settings["paths"]
        told = await self.ctx.call(paths[0][0], "directory")
        public = public_keys(self.ctx, told, {name for path in paths for name in path})
        hops = [[Hop(name, public[name]) for name in path] for path in paths]
        self._paths = hops[:3]
        self._sessions: dict[bytes, Session] = {}
        self._nodes = {name: (first, last) for name, (first, last) in settings["nodes"].items()}
        self._checks = settings["checks"]
        self._caught = Caught(self.ctx, self._checks["proofs"], live=self._checks["kind"] == "live")
        self._verification = Verification(self.ctx, hops[3]) if len(hops) > 3 else None
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

    async def answer(self, query: Query) -> AsyncIterator[Token | Metric | Answer]:
        self._caught.check()
        with self.ctx.phase("tokenise"):
            prompt = self._text.encode(query.prompt)
        sampler = Sampler.of(query, self._generation, prompt, self.ctx.model.card.context)
        if self._decoys is not None:
            self._decoys.asked(query, len(prompt))
            if checked := self._decoys.reported():
                yield Metric(name="decoys checked", value=checked)
        try:
            stream = self._text.stream()
            async with self._session() as session:
                async with aclosing(self._tokens(session, prompt, sampler)) as tokens:
                    async for token, logits in tokens:
                        text = stream.add(token) + (stream.finish() if sampler.stopped is not None else "")
                        yield Token(id=token, text=text, logits=logits.numpy().tobytes() if query.logits else None)
                if self._verification is not None:
                    await self._account(session, len(sampler.tokens))
        finally:
            if self._decoys is not None:
                self._decoys.answered()
        assert sampler.stopped is not None
        yield Answer(text=stream.shown, token_ids=tuple(sampler.tokens), stopped=sampler.stopped)

    async def _tokens(
        self, session: Session, prompt: list[int], sampler: Sampler
    ) -> AsyncGenerator[tuple[int, torch.Tensor]]:
        """Tokens, and the logits that each was taken from."""
        start = len(prompt)
        cache = None if self._tail is None else self._tail.new_cache()
        with self.ctx.phase("prefill"):
            await session.open()
            await session.ask(prompt, 0)
            logits = self._logits(await session.result(), cache)
        with self.ctx.phase("decode"):
            while True:
                token = sampler.take(logits)
                if sampler.stopped is None:  # the nodes go on while the token is shown
                    await session.ask([token], start)
                    start += 1
                yield token, logits
                if sampler.stopped is not None:
                    return
                logits = self._logits(await session.result(), cache)

    async def _account(self, session: Session, tokens: int) -> None:
        """Have all say what they did; with live checks, perhaps done again.

        Raises:
            UnfedError: naming whoever says something else than it did, or did something else than it should.
        """
        with self.ctx.phase("statements"):
            said = await self._said(session)
        if self._checks["kind"] == "live" and falls(self._checks["rate"], tokens):
            with self.ctx.phase("check"):
                await self._check(session, said)

    async def _said(self, session: Session) -> Sequence[Signed]:
        said = await session.statements()
        agreed(self.ctx, session, said, self._nodes, self.ctx.settings["wire_dtype"])
        return said

    async def _check(self, session: Session, said: Sequence[Signed]) -> None:
        assert self._verification is not None
        verdict = await self._verification.check(session, said)
        if verdict.party:
            raise self._caught.add(verdict)

    # -- decoys

    async def ahead(self) -> float | None:
        return None if self._decoys is None else await self._decoys.ahead()

    async def _decoy(self, query: Query, prompt: list[int]) -> None:
        """A session like any other, of a text that nobody has asked; then it is done again."""
        sampler = Sampler.of(query, self._generation, prompt, self.ctx.model.card.context)
        try:
            async with self._session() as session:
                async for _ in self._tokens(session, prompt, sampler):
                    pass
                await self._check(session, await self._said(session))
        except UnfedError as error:
            if error.failure.kind != "protocol" or error.failure.party is None:
                raise
            self._caught.keep(error.failure.party, error)  # whoever asks next is told
            log.warning("a decoy was not answered as it should be: %s", error)

    # -- sessions

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Session]:
        """Fresh circuits, which are closed when the caller is done, however that comes."""
        session = Session(self.ctx, self._paths, self._verification is not None)
        self._sessions |= dict.fromkeys(session.names, session)
        try:
            yield session
        finally:
            for name in session.names:
                del self._sessions[name]
            await session.close()

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
