"""Sessions whose randomness is made before anybody asks, each for any prompt of about one length."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque

from unfed.plugins import Context, ModelCard, UnfedError

from .backend import NODES
from .transformer.parts import padded_size, parts, steps_ahead


class Session:
    """One session as the client keeps it.

    Args:
        id: names it at the nodes and the dealer: that of its query, or of what was done ahead.
        size: rows that its prompt is padded to; 0 where it was made for one prompt.
    Attributes:
        failed: why its material could not be made.
    """

    def __init__(self, ctx: Context, id: str, size: int = 0) -> None:
        self.id, self.size = id, size
        self.failed: UnfedError | None = None
        self._ctx = ctx
        self._steps = self._rows = 0
        self._making = asyncio.Lock()

    async def ready(self, step: int, rows: int) -> None:
        """Have the nodes prepare this step, unless they have. Raises UnfedError where they cannot."""
        if step >= self._steps:
            with self._ctx.phase("randomness", "offline"):
                await self.prepare(step, rows)
        if self.failed is not None:
            raise self.failed

    async def prepare(self, step: int, rows: int) -> None:
        """The same, but failing quietly."""
        async with self._making:
            if step < self._steps or self.failed is not None:
                return
            asked = {"session": self.id, "step": step, "start": self._rows, "tokens": rows}
            try:
                await asyncio.gather(*(self._ctx.call(node, "prepare", **asked) for node in NODES))
            except UnfedError as error:
                self.failed = error
            self._steps, self._rows = step + 1, self._rows + rows


class Pool:
    """Keeps a session for each of the last few prompts' sizes, for the next ones like them.

    Args:
        ctx, card, context: the client's, its model's, and the most rows of a session.
        sessions: how many are kept.
    """

    def __init__(self, ctx: Context, card: ModelCard, context: int, sessions: int) -> None:
        self._ctx, self._card, self._context = ctx, card, context
        self._sizes: deque[int] = deque(maxlen=sessions)
        self._kept: list[Session] = []
        self._making: dict[str, asyncio.Task[None]] = {}
        self.answer = 0
        """Tokens of the last answer."""

    def take(self, query: str, tokens: int, most: int) -> Session:
        """A session for a query whose prompt has so many `tokens`, and whose answer may have so many.

        It adopts what it takes, and what will be of no use now: what was made for nobody is not hidden.
        """
        size = padded_size(tokens)
        fits = size + most <= self._context
        if fits and len(parts(self._card, size)) == 1:
            self._sizes.append(size)
        good = (each for each in self._kept if each.failed is None and each.size == size)
        found = next(good, None) if fits else None
        before, missing = self._kept, list(self._sizes)
        self._kept = []
        for each in before:
            if each is not found and each.failed is None and each.size in missing:
                missing.remove(each.size)
                self._kept.append(each)
            else:
                self._ctx.adopt(each.id)
        return found or Session(self._ctx, query)

    async def fill(self) -> None:
        """Make what is missing. Cancelled at any time: what is under way comes to its end and is of use."""
        missing = list(self._sizes)
        for each in self._kept:
            missing.remove(each.size)
        self._kept += [Session(self._ctx, secrets.token_hex(6), size) for size in missing]
        for each in self._kept:
            await self._make(each)

    def forget(self, id: str) -> None:
        """A session is over; a step of it may still be under way, which nobody will tell of any more."""
        if (task := self._making.pop(id, None)) is not None:
            task.cancel()

    async def _make(self, session: Session) -> None:
        with self._ctx.ahead(session.id):
            for step, rows in enumerate(steps_ahead(self._card, session.size, self.answer, self._context)):
                self._making[session.id] = asyncio.create_task(self._ahead(session, step, rows))
                await asyncio.shield(self._making[session.id])
                if session.failed is not None:
                    raise session.failed

    async def _ahead(self, session: Session, step: int, rows: int) -> None:
        with self._ctx.phase("randomness", "offline"):
            await session.prepare(step, rows)
