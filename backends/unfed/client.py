"""The client of `unfed`: it sends keys for its tokens over two circuits, and reads hidden states from a third one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import torch
from transformers import DynamicCache

from unfed.plugins import Answer, ClientRole, Metric, Query, Token, serve

from ..common.ends import Head
from ..common.generation import Generation
from ..common.sampling import Sampler
from ..common.shard import shard
from ..common.text import Text
from ..mpc.engine.embedding import keys
from .hop import public_keys
from .mpc_layers.session import LayersSession
from .onion import Hop
from .session import Session


class Client(ClientRole):
    """Settings:
    paths: names of the hops of the three circuits, to each entry and to the last of the layers, guard first.
    tail: the first of the layers that the client runs itself, or None.
    mpc_layers: how many layers the entries run.
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
        self._paths = [[Hop(name, public[name]) for name in path] for path in paths]
        self._sessions: dict[bytes, Session] = {}

    async def answer(self, query: Query) -> AsyncIterator[Token | Metric | Answer]:
        with self.ctx.phase("tokenise"):
            prompt = self._text.encode(query.prompt)
        sampler = Sampler.of(query, self._generation, prompt, self.ctx.model.card.context)
        stream, start = self._text.stream(), 0
        cache = None if self._tail is None else self._tail.new_cache()
        async with self._session() as session:
            with self.ctx.phase("prefill"):
                await session.open()
            for size in session.parts(len(prompt)):
                await session.prepare(size)
                with self.ctx.phase("prefill"):
                    await session.ask(prompt[start : start + size], start)
                    logits = self._logits(await session.result(), cache)
                start += size
            while True:
                token = sampler.take(logits)
                if sampler.stopped is None:
                    await session.prepare(1)
                with self.ctx.phase("decode"):
                    if sampler.stopped is None:  # the nodes go on while the token is shown
                        await session.ask([token], start)
                        start += 1
                    text = stream.add(token) + (stream.finish() if sampler.stopped is not None else "")
                    yield Token(id=token, text=text, logits=logits.numpy().tobytes() if query.logits else None)
                    if sampler.stopped is not None:
                        break
                    logits = self._logits(await session.result(), cache)
        yield Answer(text=stream.shown, token_ids=tuple(sampler.tokens), stopped=sampler.stopped)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Session]:
        """Fresh circuits, which are closed when the caller is done, however that comes."""
        layers: int = self.ctx.settings["mpc_layers"]
        session = LayersSession(self.ctx, self._paths, layers) if layers else Session(self.ctx, self._paths)
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
        session = self._sessions.get(circuit)
        if session is not None:  # or it is late
            session.came(sender, circuit, data)
