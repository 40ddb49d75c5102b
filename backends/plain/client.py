"""The client of `plain`: tokenises, asks the server, and turns its tokens into text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import torch

from unfed.plugins import Answer, ClientRole, Metric, Query, Token, UnfedError, serve

from ..common.text import Text


class Arrival(NamedTuple):
    """One token, whether the server calls it the last, and the logits it was taken from, where they were asked for."""

    id: int
    last: bool
    logits: bytes | None


Arrivals = asyncio.Queue[Arrival | None]
"""Tokens of one query; None when the server's reply is there."""


class Client(ClientRole):
    async def start(self) -> None:
        self._text = Text.of(self.ctx.model.card)
        self._arrivals: dict[str, Arrivals] = {}

    async def forget(self, query: str) -> None:
        self._arrivals.pop(query, None)

    async def answer(self, query: Query) -> AsyncIterator[Token | Metric | Answer]:
        with self.ctx.phase("tokenise"):
            prompt = self._text.encode(query.prompt)
        arrivals = self._arrivals[query.id] = Arrivals()
        call = asyncio.create_task(
            self.ctx.call(
                "server",
                "generate",
                prompt=torch.tensor(prompt),
                max_new_tokens=query.max_new_tokens,
                temperature=query.temperature,
                top_p=query.top_p,
                seed=query.seed,
                logits=query.logits,
            )
        )
        call.add_done_callback(lambda _: arrivals.put_nowait(None))
        stream, tokens = self._text.stream(), list[int]()
        try:
            with self.ctx.phase("prefill"):
                token = await self._next(arrivals, call, tokens)
            with self.ctx.phase("decode"):
                while token is not None:
                    text = stream.add(token.id)
                    if token.last:
                        text += stream.finish()
                    yield Token(id=token.id, text=text, logits=token.logits)
                    token = await self._next(arrivals, call, tokens)
            stopped = (await call)["stopped"]
        finally:
            call.cancel()
            self._arrivals.pop(query.id, None)
        yield Answer(text=stream.shown, token_ids=tuple(tokens), stopped=stopped)

    async def _next(
        self, arrivals: Arrivals, call: asyncio.Task[dict[str, object]], tokens: list[int]
    ) -> Arrival | None:
        """The next token, or None once all that the server's reply announces are there."""
        while not (call.done() and len(tokens) >= int(str(call.result()["tokens"]))):
            if (token := await arrivals.get()) is not None:
                tokens.append(token.id)
                return token
        return None

    @serve
    async def token(self, sender: str, *, id: int, last: bool) -> None:
        """One token, as soon as the server has it."""
        self._take(sender, Arrival(id, last, None))

    @serve
    async def scored(self, sender: str, *, id: int, last: bool, logits: torch.Tensor) -> None:
        """One token, and the logits [vocab] it was taken from."""
        vocab = self.ctx.model.card.vocab
        if logits.shape != (vocab,) or logits.dtype != torch.float32:
            raise UnfedError(
                f"{sender} sent logits of shape {list(logits.shape)} ({logits.dtype}), expected [{vocab}] float32",
                kind="protocol",
                party=sender,
            )
        self._take(sender, Arrival(id, last, logits.numpy().tobytes()))

    def _take(self, sender: str, token: Arrival) -> None:
        if not 0 <= token.id < self.ctx.model.card.vocab:
            raise UnfedError(f"{sender} sent a token that the model does not know", kind="protocol", party=sender)
        if (arrivals := self._arrivals.get(self.ctx.query)) is None:
            raise UnfedError(f"{sender} sent a token for no query of ours", kind="protocol", party=sender)
        arrivals.put_nowait(token)
