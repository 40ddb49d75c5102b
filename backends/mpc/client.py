"""The client of `mpc`: turns tokens into keys, adds the shares of logits up, and chooses each token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import torch

from unfed.plugins import Answer, ClientRole, Metric, Query, Token, UnfedError

from ..common.generation import Generation
from ..common.sampling import Sampler
from ..common.text import Text
from .backend import NODES
from .engine.embedding import keys
from .engine.ring import decode
from .pool import Pool, Session
from .transformer.parts import parts
from .transformer.program import out_of_range
from .transformer.scales import Format


class Client(ClientRole):
    async def start(self) -> None:
        model = self.ctx.model
        self._generation = Generation.of(model.folder, model.card.name)
        self._context: int = self.ctx.settings["context"]
        self._text = Text.of(msgspec.structs.replace(model.card, context=self._context))
        self._scales = Format.travelled(await self.ctx.call(NODES[0], "format")).scales
        self._pool = Pool(self.ctx, model.card, self._context, self.ctx.settings["pool"])
        keys([0], model.card.vocab)  # compiles, or loads what was compiled

    async def ahead(self) -> None:
        await self._pool.fill()

    async def forget(self, query: str) -> None:
        self._pool.forget(query)

    async def answer(self, query: Query) -> AsyncIterator[Token | Metric | Answer]:
        with self.ctx.phase("tokenise"):
            prompt = self._text.encode(query.prompt)
        sampler = Sampler.of(query, self._generation, prompt, self._context)
        stream = self._text.stream()
        session = self._pool.take(query.id, len(prompt), query.max_new_tokens)
        start = step = 0
        for size in [len(prompt)] if session.size else parts(self.ctx.model.card, len(prompt)):
            logits = await self._step("prefill", session, step, prompt[start : start + size])
            start, step = start + size, step + 1
        while True:
            token = sampler.take(logits)
            text = stream.add(token) + (stream.finish() if sampler.stopped is not None else "")
            yield Token(id=token, text=text, logits=logits.numpy().tobytes() if query.logits else None)
            if sampler.stopped is not None:
                break
            logits = await self._step("decode", session, step, [token])
            step += 1
        self._pool.answer = len(sampler.tokens)
        yield Answer(text=stream.shown, token_ids=tuple(sampler.tokens), stopped=sampler.stopped)

    async def _step(self, phase: str, session: Session, step: int, ids: list[int]) -> torch.Tensor:
        await session.ready(step, len(ids))
        with self.ctx.phase(phase):
            return await self._run(session, step, ids)

    async def _run(self, session: Session, step: int, ids: list[int]) -> torch.Tensor:
        """Logits [vocab] float32 after `ids`.

        Raises:
            UnfedError: a number left the range that the protocol can compute in, so that the logits would be wrong.
        """
        vocab = self.ctx.model.card.vocab
        sent = [{"session": session.id, "step": step, **each._asdict()} for each in keys(ids, vocab)]
        replies = await asyncio.gather(
            *(self.ctx.call(node, "step", **fields) for node, fields in zip(NODES, sent, strict=True))
        )
        for node, reply in zip(NODES, replies, strict=True):
            shapes = {name: (tuple(part.shape), part.dtype) for name, part in reply.items() if torch.is_tensor(part)}
            if shapes != {"logits": ((vocab,), torch.int64), "guard": ((1,), torch.int64)}:
                raise UnfedError(f"{node} sent what are no logits", kind="protocol", party=node)
        first, second = replies
        if int(first["guard"] + second["guard"]):
            raise out_of_range("set mpc.softmax=maximum, use another prompt, or backend plain or split")
        return decode(first["logits"] + second["logits"], self._scales.logit).float()
