"""Parties of `unfed` that misbehave."""

from __future__ import annotations

import logging
import secrets
from functools import partial
from itertools import count
from typing import Any

import msgspec
import torch

from unfed.backends.mpc.engine.embedding import Keys
from unfed.backends.mpc.transformer import parts
from unfed.backends.mpc.transformer.calibrate import calibrate
from unfed.backends.mpc.transformer.program import Transformer
from unfed.backends.unfed.circuits.hop import Hop, announcement
from unfed.backends.unfed.client import accounts, ways
from unfed.backends.unfed.client.client import Client
from unfed.backends.unfed.client.layers_session import LayersSession
from unfed.backends.unfed.client.session import Session
from unfed.backends.unfed.integrity import together
from unfed.backends.unfed.integrity.proof import Rows
from unfed.backends.unfed.integrity.statements import Statement
from unfed.backends.unfed.integrity.verifier import Verifier
from unfed.backends.unfed.mpc_layers import entry as layers_entry
from unfed.backends.unfed.mpc_layers.dealer import Dealer
from unfed.backends.unfed.mpc_layers.entry import LayersEntry
from unfed.backends.unfed.nodes import entry
from unfed.backends.unfed.nodes.entry import Entry
from unfed.backends.unfed.nodes.joining import First
from unfed.backends.unfed.nodes.last import Last
from unfed.plugins import UnfedError, serve

log = logging.getLogger("unfed.tests")


class _Meddling(Hop):
    """Does something else with the third message that it should hand on, of one kind."""

    kind = "cell"

    async def start(self) -> None:
        await super().start()
        self._count = 0
        self.ctx = _Between(self.ctx, self)  # type: ignore[assignment]

    async def meddle(self, send: Any, peer: str, fields: dict[str, Any]) -> None:
        raise NotImplementedError


class _Between:
    def __init__(self, ctx: Any, role: _Meddling) -> None:
        self._ctx, self._role = ctx, role

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)

    async def send(self, peer: str, method: str, **fields: Any) -> None:
        async def send(**fields: Any) -> None:
            await self._ctx.send(peer, method, **fields)

        role = self._role
        if method == role.kind:
            role._count += 1
            if role._count == 3:
                await role.meddle(send, peer, fields)
                return
        await send(**fields)


class Flipping(_Meddling):
    async def meddle(self, send: Any, peer: str, fields: dict[str, Any]) -> None:
        data = bytearray(fields["data"])
        data[len(data) // 2] ^= 1
        await send(circuit=fields["circuit"], data=bytes(data))


class Cutting(_Meddling):
    async def meddle(self, send: Any, peer: str, fields: dict[str, Any]) -> None:
        await send(circuit=fields["circuit"], data=fields["data"][:-16])


class Dropping(_Meddling):
    async def meddle(self, send: Any, peer: str, fields: dict[str, Any]) -> None:
        pass


class Repeating(_Meddling):
    async def meddle(self, send: Any, peer: str, fields: dict[str, Any]) -> None:
        await send(**fields)
        await send(**fields)


class Inventing(_Meddling):
    """A cell of a circuit that does not exist."""

    async def meddle(self, send: Any, peer: str, fields: dict[str, Any]) -> None:
        await send(circuit=bytes(16), data=fields["data"])


class Reopening(_Meddling):
    """An opening once more, under another name."""

    kind = "open"

    async def meddle(self, send: Any, peer: str, fields: dict[str, Any]) -> None:
        await send(**fields)
        await send(circuit=bytes(16), data=fields["data"])


class FlippingBack(Flipping):
    kind = "back"


class Impatient(Client):
    """Does not wait long for parties to come back."""

    async def start(self) -> None:
        ways.WAIT = 2.0
        await super().start()


class Unlucky(Client):
    """Loses the guard, as far as it can tell, as it asks for the fourth token."""

    async def start(self) -> None:
        await super().start()
        ask, asked = Session.ask, count()

        async def unlucky(session: Session, ids: list[int], start: int) -> None:
            if next(asked) == 3:
                error = UnfedError("it was killed", kind="party-lost", party="guard")
                self.lost("guard", error.failure)
                self.returned("guard")
                raise error
            await ask(session, ids, start)

        Session.ask = unlucky  # type: ignore[method-assign]


class Impostor(Hop):
    """Says that its own key is an entry's."""

    @serve
    async def directory(self, sender: str) -> dict[str, list[bytes]]:
        found = await super().directory(sender)
        public = found[self.ctx.name][0]
        return found | {"entry-0": [public, self.ctx.sign(announcement(public))]}


class Forgetful(Hop):
    """Leaves an entry out of the directory."""

    @serve
    async def directory(self, sender: str) -> dict[str, list[bytes]]:
        found = await super().directory(sender)
        del found["entry-0"]
        return found


class Misshapen(Entry):
    """Sends a row too few."""

    async def start(self) -> None:
        await super().start()
        self._table.columns -= 1


class Noise(Entry):
    """Sends shares that add up to no numbers."""

    async def start(self) -> None:
        await super().start()
        self._table._packed |= 0x7F800000


class Narrow(First):
    """Hands on less than it should."""

    async def _on(self, session: bytes, hidden: torch.Tensor, start: int) -> None:
        await super()._on(session, hidden[..., :-1], start)


class Overflowing(LayersEntry):
    """Has rows a thousand times too large, which leave the range of the first normaliser."""

    def _run(self, session: Any, program: Transformer, keys: Keys) -> tuple[torch.Tensor, torch.Tensor]:
        embedding = program.weights.embedding
        look_up = embedding.given
        embedding.given = lambda party, keys: look_up(party, keys) << 10  # type: ignore[method-assign]
        try:
            return super()._run(session, program, keys)
        finally:
            embedding.given = look_up  # type: ignore[method-assign]


class Short(LayersEntry):
    """Hands on a share of fewer rows than there are."""

    def _run(self, session: Any, program: Transformer, keys: Keys) -> tuple[torch.Tensor, torch.Tensor]:
        share, fallen = super()._run(session, program, keys)
        return share[1:], fallen


class Unscaled(LayersEntry):
    """Says another scale than its peer."""

    def _run(self, session: Any, program: Transformer, keys: Keys) -> tuple[torch.Tensor, torch.Tensor]:
        result = super()._run(session, program, keys)
        program.scales = program.scales._replace(residual=7)
        return result


class Greedy(LayersEntry):
    """Asks the dealer for the first step's material twice."""

    async def start(self) -> None:
        await super().start()
        call = self.ctx.call

        async def twice(peer: str, method: str, **fields: Any) -> Any:
            found = await call(peer, method, **fields)
            return await call(peer, method, **fields) if method == "material" else found

        self.ctx.call = twice  # type: ignore[method-assign]


class Mean(Dealer):
    """Gives half of what it should."""

    @serve
    async def material(self, sender: str, *, session: bytes, step: int, start: int, tokens: int) -> dict[str, Any]:
        found = await super().material(sender, session=session, step=step, start=start, tokens=tokens)
        return found | {"seed": found["seed"][:8]}


class Moody(LayersEntry):
    """Finds another number format in each process."""

    async def start(self) -> None:
        layers_entry.calibrate = partial(calibrate, seed=secrets.randbits(32))  # type: ignore[assignment]
        await super().start()
        log.warning("found %r", self._format)


class Hasty(Client):
    """Sends keys for a step that was not prepared."""

    async def start(self) -> None:
        await super().start()
        LayersSession.prepare = _nothing  # type: ignore[method-assign]


async def _nothing(session: LayersSession, tokens: int) -> None:
    pass


class Piecemeal(Client):
    """Asks long prompts in parts of a few tokens."""

    async def start(self) -> None:
        parts.MEMORY = 3 << 20
        await super().start()
        assert len(parts.parts(msgspec.structs.replace(self.ctx.model.card, layers=1), 8)) > 2


# -- with checks


class _Stating(First):
    """States something else than it did, and signs that."""

    def stated(self, statement: Statement) -> Statement:
        raise NotImplementedError

    async def start(self) -> None:
        await super().start()
        assert self._ledgers is not None
        right = self._ledgers.statement
        self._ledgers.statement = lambda ledger: self.stated(right(ledger))  # type: ignore[method-assign]


class Misstating(_Stating):
    def stated(self, statement: Statement) -> Statement:
        return msgspec.structs.replace(statement, sent=bytes(32), exact=bytes(32))


class Fewer(_Stating):
    """Says that it was to run its first layer alone."""

    def stated(self, statement: Statement) -> Statement:
        return msgspec.structs.replace(statement, layers=(statement.layers[0], statement.layers[0]))


class _LastStating(Last):
    async def start(self) -> None:
        await super().start()
        assert self._ledgers is not None
        right = self._ledgers.statement
        self._ledgers.statement = lambda ledger: self.stated(right(ledger))  # type: ignore[method-assign]

    def stated(self, statement: Statement) -> Statement:
        raise NotImplementedError


class Denying(_LastStating):
    """Says that something else came."""

    def stated(self, statement: Statement) -> Statement:
        return msgspec.structs.replace(statement, came=(bytes(32),))


class Regardless(Last):
    """Countersigns whatever it is shown."""

    async def start(self) -> None:
        await super().start()
        assert self._ledgers is not None
        right = self._ledgers.commit
        self._ledgers.commit = lambda session, release, before: right(session, release, {})  # type: ignore[method-assign]


class Closed(First):
    """Opens nothing."""

    @serve
    async def reveal(self, sender: str, *, session: bytes, secret: bytes) -> dict[str, Any]:
        raise UnfedError("never", kind="protocol", party=sender)


class Otherwise(First):
    """Opens something else than it sent."""

    @serve
    async def reveal(self, sender: str, *, session: bytes, secret: bytes) -> dict[str, Any]:
        found = await super().reveal(sender, session=session, secret=secret)
        return found | {"rows": found["rows"] * 1.0000001 + 1e-6}


class Shapeless(First):
    @serve
    async def reveal(self, sender: str, *, session: bytes, secret: bytes) -> dict[str, Any]:
        return {"rows": [1, 2], "sizes": "two"}


class Swapping(Entry):
    """Makes shares that add up to the numbers next to those that they should."""

    async def start(self) -> None:
        await super().start()
        right = entry.look_up
        entry.look_up = lambda *given: right(*given) + 1


class Curious(Verifier):
    """Asks a node about every session that anybody has it check, without the client's leave."""

    async def _open(self, name: str, statement: Statement, secret: bytes) -> list[Rows]:
        try:
            await self.ctx.call(name, "reveal", session=statement.session, secret=bytes(32))
            log.warning("was shown")
        except UnfedError as error:
            log.warning("asked, and was told: %s", error)
        return await super()._open(name, statement, secret)


# -- with checks, where the entries run layers


class Perturbing(LayersEntry):
    """Has hidden states come out with a fifth of a row's length added to them."""

    def _run(self, session: Any, program: Transformer, keys: Keys) -> tuple[torch.Tensor, torch.Tensor]:
        share, fallen = super()._run(session, program, keys)
        return share + (1 << program.scales.residual) // 5, fallen


class Turning(Perturbing):
    """Likewise, but not in its first session."""

    def _run(self, session: Any, program: Transformer, keys: Keys) -> tuple[torch.Tensor, torch.Tensor]:
        self._first = getattr(self, "_first", session)
        right = LayersEntry._run if session is self._first else Perturbing._run
        return right(self, session, program, keys)


class Lying(Dealer):
    """Gives entry-1 other corrections than it should, in what the last gates of a step use."""

    @serve
    async def material(self, sender: str, *, session: bytes, step: int, start: int, tokens: int) -> dict[str, Any]:
        found = await super().material(sender, session=session, step=step, start=start, tokens=tokens)
        if not len(found["own"]):  # entry-0's follows from its seed
            return found
        own = found["own"].copy()
        own[len(own) % 8 :].view("<i8")[-32:] += 1 << (await self._agreed.program()).scales.residual
        return found | {"own": own}


class EntryClosed(LayersEntry):
    """Opens nothing."""

    @serve
    async def reveal(self, sender: str, *, session: bytes, secret: bytes) -> dict[str, Any]:
        raise UnfedError("never", kind="protocol", party=sender)


class EntryOtherwise(LayersEntry):
    """Opens something else than it sent."""

    @serve
    async def reveal(self, sender: str, *, session: bytes, secret: bytes) -> dict[str, Any]:
        found = await super().reveal(sender, session=session, secret=secret)
        return found | {"rows": found["rows"] + 1}


class EntryFewer(LayersEntry):
    """States that it was to look up alone, and signs that."""

    async def start(self) -> None:
        await super().start()
        assert self._ledgers is not None
        self._ledgers._layers = ()


class Telling(Verifier):
    """Logs how far what entries and dealer did together lies from what it should be."""

    async def start(self) -> None:
        await super().start()
        right = together.distance

        def distance(*given: Any) -> float:
            log.warning("off by %.3g", found := right(*given))
            return found

        together.distance = distance


# -- with checks that are held back


class Closing(Hop):
    """A guard that closes all circuits as soon as it sees that a session is about to be checked."""

    @serve
    async def open(self, sender: str, *, circuit: bytes, data: bytes) -> None:
        await super().open(sender, circuit=circuit, data=data)
        for before, passage in list(self._passages.items()):
            if before != (sender, circuit) and self._passages[sender, circuit].after[0] == "verifier":  # type: ignore[index]
                await self._over(before)
                log.warning("closed a circuit to %s", passage.after)


class Withholding(Hop):
    """A guard that keeps back whatever the verifier is asked."""

    @serve
    async def cell(self, sender: str, *, circuit: bytes, data: bytes) -> None:
        after = self._passages[sender, circuit].after
        if after is None or after[0] != "verifier":
            await super().cell(sender, circuit=circuit, data=data)


class Hurried(Client):
    """Waits for a check for two seconds."""

    async def start(self) -> None:
        accounts.CHECKED_WITHIN = 2.0
        await super().start()
