"""The one error people meet: what happened, to whom, and what to do next."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal[
    "bad-input",  # the caller's prompt, model, option or file cannot be used
    "unavailable",  # a plugin or a library it needs is missing
    "fleet",  # a party could not be started
    "party-lost",  # a party's process ended
    "party-hung",  # a party's process is stopped or no longer answers
    "protocol",  # a party sent what the contract does not allow
    "role",  # a role raised an error of its own
    "timeout",
    "cancelled",
    "internal",
]


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a result failed, as it stands in the record (never holds prompts, tokens, keys or shares)."""

    kind: Kind
    message: str
    party: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        text = f"{self.party}: {self.message}" if self.party and self.party not in self.message else self.message
        return f"{text} ({self.hint})" if self.hint else text


class UnfedError(Exception):
    """An error meant for a person; everything else that reaches a screen is a bug.

    Args:
        message: what happened, in one sentence without secrets.
        kind: one of `Kind`; it decides the exit code.
        party: the party it happened to, where there is one.
        hint: what to do next.
    """

    def __init__(
        self, message: str, *, kind: Kind = "bad-input", party: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.failure = Failure(kind=kind, message=message, party=party, hint=hint)

    @classmethod
    def of(cls, failure: Failure) -> UnfedError:
        """The exception that carries `failure`."""
        return cls(failure.message, kind=failure.kind, party=failure.party, hint=failure.hint)

    def __str__(self) -> str:
        return str(self.failure)
