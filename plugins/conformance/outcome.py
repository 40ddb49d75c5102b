"""What a check comes to: passed, failed with what to do about it, or not applicable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

Status = Literal["pass", "fail", "n/a"]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the checklist. `detail` says what was seen, and for a failure what to change."""

    check: str
    title: str
    status: Status
    detail: str
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.status:4}  {self.check:12}  {self.detail}"


class Complaint(Exception):
    """The backend does not do what the contract asks; the message tells its author what to change."""


class NotApplicable(Exception):
    """The check has no object in this backend; the message says why."""


class NonConforming(AssertionError):
    """Raised by `check_backend` when a check failed; `outcomes` holds all of them."""

    def __init__(self, backend: str, outcomes: Sequence[Outcome]) -> None:
        self.outcomes = tuple(outcomes)
        failed = [f"{each.check}: {each.detail}" for each in outcomes if each.status == "fail"]
        super().__init__(f"backend {backend} fails {len(failed)} of {len(outcomes)} checks\n  " + "\n  ".join(failed))


def complain(problems: Iterable[str]) -> None:
    """Raise one complaint about all of `problems`, if there are any."""
    if found := list(dict.fromkeys(problems)):
        raise Complaint("; ".join(found[:8]) + (f"; and {len(found) - 8} more" if len(found) > 8 else ""))
