"""The program that the entries and their dealer run: at the number format that entry-0 has found, whoever that is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from unfed.plugins import Context, UnfedError

from ...mpc.transformer.program import Transformer
from ...mpc.transformer.scales import Format
from ..names import ENTRIES


class Agreed:
    """As entry-0's peers have it: asked for again, and built anew where it is another, once entry-0 is another process.

    Every session has entry-0 in it. So there is none whose program would change, and whoever takes the program when a
    session begins has the one that entry-0 has.

    Args:
        build: makes it ready to be used; takes a while.
    """

    def __init__(self, ctx: Context, build: Callable[[Format], Transformer]) -> None:
        self._ctx, self._build = ctx, build
        self._turn = asyncio.Lock()
        self._whose = ""  # the certificate of the process that the format is of
        self._known: tuple[Format, Transformer] | None = None

    async def begin(self) -> None:
        """Build it while the fleet comes up; without entry-0, the first session does."""
        try:
            await self.program()
        except UnfedError as error:
            if error.failure.kind != "party-lost":
                raise

    async def program(self) -> Transformer:
        """Raises UnfedError (`party-lost`) without entry-0."""
        async with self._turn:
            whose = ""
            with contextlib.suppress(UnfedError):  # where it is gone, which the call tells better
                whose = self._ctx.certificate(ENTRIES[0])
            if self._known is None or whose != self._whose:
                format = Format.travelled(await self._ctx.call(ENTRIES[0], "format"))
                if self._known is None or format != self._known[0]:
                    self._known = format, await asyncio.to_thread(self._build, format)
                self._whose = whose
            return self._known[1]
