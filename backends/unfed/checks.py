"""Spot checks at the client: which session is done again, by whom, and what becomes of whoever is caught."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

import msgspec

from unfed.plugins import Context, Failure, Note, UnfedError

from .names import VERIFIER
from .onion import Circuit, Hop, Unsealed, new_id, unpadded
from .session import Session
from .statements import Signed
from .verifier import Check, Verdict, Write, decode_verdict, decode_written, encode_cell
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


class Caught:
    """Parties that failed a check, until they are replaced.

    Args:
        folder: where proofs are kept, if anywhere.
        live: whether they are of real sessions: then they hold what was asked, and are never kept.
    """

    def __init__(self, ctx: Context, folder: str, *, live: bool = False) -> None:
        self._ctx, self._live = ctx, live
        self._folder = Path(folder).expanduser() if folder else None
        self._found: dict[str, tuple[str, UnfedError]] = {}
        self._news: list[Note] = []

    def add(self, verdict: Verdict) -> UnfedError:
        """Keep the proof, and what is to be said to whoever asks next."""
        party, hint = verdict.party, "replace it"
        if verdict.proof and self._live:
            hint = "no proof is kept, for it would hold what was asked; replace it"
        elif verdict.proof and self._folder is not None:
            path = self._folder / f"{party}-{sha256(verdict.proof).hexdigest()[:12]}.json"
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                path.write_bytes(verdict.proof)
                hint = f"unfed-console verify {path} shows it to anybody; replace {party}"
            except OSError as error:
                hint = f"the proof could not be kept in {self._folder}: {error.strerror}"
        elif verdict.proof:
            hint = "the option proofs names a folder where proofs are kept; replace it"
        failure = UnfedError(f"it failed a spot check: it {verdict.what}", kind="protocol", party=party, hint=hint)
        return self.keep(party, failure)

    def news(self) -> list[Note]:
        """Of whom nobody was told yet."""
        told, self._news = self._news, []
        return told

    def keep(self, party: str, failure: UnfedError) -> UnfedError:
        certificate = self._ctx.certificate(party)
        if self._found.get(party, ("", None))[0] != certificate:  # or it is known already
            self._found[party] = certificate, failure
            self._news.append(Note(kind="caught", party=party, text=failure.failure.message))
        return failure

    def why(self, party: str) -> UnfedError | None:
        """Why the party is not to be used, if it was caught and is still the same."""
        certificate, failure = self._found.get(party, ("", None))
        if failure is None or self._ctx.certificate(party) != certificate:
            self._found.pop(party, None)
            return None
        return UnfedError.of(failure.failure)

    def check(self, parties: Iterable[str]) -> None:
        """Raises UnfedError naming one of these that was caught."""
        for party in parties:
            if (failure := self.why(party)) is not None:
                raise failure


def falls(rate: float, times: int = 1) -> bool:
    """Whether at least one of so many throws of a coin falls, which each does at `rate`."""
    return any(_random.random() < rate for _ in range(times))
