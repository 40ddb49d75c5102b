"""The client's side of spot checks: which session is done again, and what the verifier is asked."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Sequence

import msgspec

from unfed.plugins import Context, Failure, UnfedError

from ..circuits.onion import Circuit, Hop, Unsealed, new_id, unpadded
from ..integrity.messages import Check, Verdict, Write, decode_verdict, decode_written, encode_cell
from ..integrity.statements import Signed
from ..names import VERIFIER
from .session import Session
from .ways import Ways

_random = secrets.SystemRandom()


class Verification:
    """The client's side of a verifier, which it reaches by circuits of their own."""

    def __init__(self, ctx: Context, ways: Ways) -> None:
        self._ctx, self._ways = ctx, ways
        self._open: dict[bytes, tuple[Circuit, list[Hop], asyncio.Future[bytes]]] = {}

    async def check(self, session: Session, said: Sequence[Signed]) -> Verdict:
        """Have the session done again, of which the verifier sees everything then.

        Raises:
            UnfedError: (`protocol`, naming it) the verifier answers what is no verdict.
        """
        cells = tuple(tuple(each) for each in session.cells)
        answered = await self._asked(Check(session.secret, session.way.route, tuple(said), cells))
        try:
            return decode_verdict(answered)
        except msgspec.MsgspecError:
            raise self._nonsense() from None

    async def write(self, before: tuple[int, ...], until: int, lengths: tuple[int, ...]) -> list[list[int]]:
        """Texts of these lengths, written by the model."""
        answered = await self._asked(Write(before, until, lengths))
        try:
            return decode_written(answered)
        except msgspec.MsgspecError:
            raise self._nonsense() from None

    def came(self, circuit: bytes, data: bytes) -> None:
        """A cell came back. Raises UnfedError (`protocol`) where the verifier did not seal it."""
        if (found := self._open.get(circuit)) is None:
            return
        try:
            found[2].set_result(unpadded(found[0].open(data)))
        except (Unsealed, asyncio.InvalidStateError) as error:
            by = getattr(error, "by", ()) or (found[1][-1].name,)
            raise UnfedError(f"{' or '.join(by)} sent back what does not open", kind="protocol", party=by[0]) from None

    def lost(self, party: str, failure: Failure) -> None:
        """Whoever waits for an answer over this party is told."""
        for _, path, future in self._open.values():
            if party in {hop.name for hop in path} and not future.done():
                future.set_exception(UnfedError.of(failure))

    async def _asked(self, what: Check | Write) -> bytes:
        path = await self._ways.to_verifier()
        name, circuit, guard = new_id(), Circuit(path, b""), path[0].name
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._open[name] = circuit, path, future
        try:
            await self._ctx.send(guard, "open", circuit=name, data=circuit.opening)
            await self._ctx.send(guard, "cell", circuit=name, data=circuit.seal(encode_cell(what)))
            return await future
        finally:
            del self._open[name]
            with contextlib.suppress(UnfedError):  # without a guard there is nothing left to close
                await self._ctx.send(guard, "close", circuit=name)

    def _nonsense(self) -> UnfedError:
        return UnfedError("it answers what is no verdict", kind="protocol", party=VERIFIER)


def falls(rate: float, times: int = 1) -> bool:
    """Whether at least one of so many throws of a coin falls, which each does at `rate`."""
    return any(_random.random() < rate for _ in range(times))
