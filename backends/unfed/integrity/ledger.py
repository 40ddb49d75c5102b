"""What a node keeps of its sessions, so that it can be held to them: trails of digests, and what it sent."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

import torch

from unfed.plugins import Context, UnfedError

from .statements import Signed, Statement, Trail, fingerprint, raw, read, scaled, sign

KEPT = 150.0
"""Seconds for which what was sent in a session can be asked for once it is stated, unless the client dismisses it, and
however its circuits fare: or whoever closes them, as the guard can, would have honest nodes look as if they refused."""
Later = Callable[[float, Callable[[], None]], object]


def later(seconds: float, do: Callable[[], None]) -> None:
    """Have something done then, by the running loop."""
    asyncio.get_running_loop().call_later(seconds, do)


class Ledger:
    """One session at one node.

    Args:
        session: what it is called on the links that end here; senders: whose links these are.
        after: what it is called on the link that starts here, and whose link that is.
        rounds: whether what is sent is rounded to the type of the wire.
    """

    def __init__(self, session: bytes, senders: Sequence[str], after: bytes, sender: str, rounds: bool) -> None:
        self.session, self.after = session, after
        self.came = {name: Trail(session, name) for name in senders}
        self.sent = Trail(after, sender)
        self.exact = Trail(after, sender) if rounds else self.sent
        self.rows: list[torch.Tensor] = []
        self.starts: list[int] = []
        self.release = b""
        self.scale: int | None = None

    def receives(self, sender: str, start: int, data: bytes | memoryview) -> None:
        self.came[sender].add(start, data)

    def sends(self, start: int, rows: torch.Tensor, packed: torch.Tensor) -> None:
        """Rows [1, t, width] float32, and the same in the type of the wire."""
        self.sent.add(start, raw(packed))
        if self.exact is not self.sent:
            self.exact.add(start, raw(rows))
        self._keep(start, rows[0])

    def shares(self, start: int, share: torch.Tensor, scale: int) -> None:
        """Sends a share over Z_2^64, [t, width]."""
        self.scale = scale
        self.sent.add(start, scaled(share, scale))
        self._keep(start, share)

    def _keep(self, start: int, rows: torch.Tensor) -> None:
        self.rows.append(rows)
        self.starts.append(start)


class Ledgers:
    """All sessions at one node.

    Args:
        layers, tensors, wire: what its statements say of itself.
        later: has something done after so many seconds.
    """

    def __init__(
        self,
        ctx: Context,
        layers: tuple[int, ...],
        tensors: dict[str, torch.Tensor],
        wire: str,
        later: Later = later,
    ) -> None:
        self._ctx, self._later = ctx, later
        self._layers, self._weights, self._wire = layers, fingerprint(tensors), wire
        self._open: dict[bytes, Ledger] = {}
        self._stated: dict[bytes, Ledger] = {}

    def of(self, session: bytes, after: bytes, senders: Sequence[str]) -> Ledger:
        """The ledger of a session, begun where there is none. See `Ledger`."""
        if (ledger := self._open.get(session)) is None:
            ledger = Ledger(session, senders, after, self._ctx.name, self._wire != "fp32")
            self._open[session] = ledger
        return ledger

    def commit(self, session: bytes, release: bytes, before: dict[str, Signed]) -> Signed:
        """Countersign what those `before` say they sent, by saying what came and what was sent.

        Raises:
            UnfedError: (`protocol`, naming it) one of them says that it sent something else, or has signed nothing.
        """
        ledger = self._open.pop(session, None)
        if ledger is None:
            raise UnfedError("a session is over that nothing came for", kind="protocol")
        for name, signed in before.items():
            said, came = read(signed, name, self._ctx.certificate(name)), ledger.came.get(name)
            if came is None or (said.after, said.sent, said.release) != (session, came.head, release):
                raise UnfedError(f"{name} says that it sent something else than it did", kind="protocol", party=name)
        ledger.release = release
        self._stated[session] = ledger
        self._later(KEPT, lambda: self.forget(session))
        return sign(self._ctx, self.statement(ledger))

    def statement(self, ledger: Ledger) -> Statement:
        return Statement(
            party=self._ctx.name,
            layers=self._layers,
            weights=self._weights,
            wire=self._wire,
            session=ledger.session,
            after=ledger.after,
            came=tuple(trail.head for trail in ledger.came.values()),
            sent=ledger.sent.head,
            exact=ledger.exact.head,
            steps=ledger.sent.steps,
            release=ledger.release,
        )

    def drop(self, session: bytes) -> None:
        """A session's circuits are closed: if it is not stated by now, it never will be."""
        self._open.pop(session, None)

    def forget(self, session: bytes) -> None:
        self._stated.pop(session, None)

    def dismiss(self, session: bytes, leave: bytes) -> None:
        """Forget what was stated, where it is the client who says that nobody will ask."""
        ledger = self._stated.get(session)
        if ledger is not None and hmac.compare_digest(sha256(leave).digest(), ledger.release):
            self.forget(session)

    def reveal(self, session: bytes, secret: bytes, sender: str) -> dict[str, Any]:
        """What was sent in a session that is stated: rows [n, width], where each step of them starts, and
        at which scale shares are. Told once.

        Raises:
            UnfedError: (`protocol`) whoever asks does not have the client's leave.
        """
        ledger = self._stated.get(session)
        if ledger is None:
            raise UnfedError("that session is not known (any more)", kind="protocol", party=sender)
        if not hmac.compare_digest(sha256(sha256(secret).digest()).digest(), ledger.release):
            raise UnfedError(f"{sender} asks for what it has no leave to see", kind="protocol", party=sender)
        self.forget(session)
        sizes = [len(rows) for rows in ledger.rows]
        rows = torch.cat(ledger.rows)
        return {"rows": rows, "sizes": sizes, "starts": list(ledger.starts), "scale": ledger.scale}
