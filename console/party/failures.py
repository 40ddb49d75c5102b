"""Errors inside a party as people should read them elsewhere."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

import msgspec

from unfed.plugins import Failure, UnfedError

log = logging.getLogger("unfed.party")


def explain(party: str, error: BaseException, what: str) -> Failure:
    """The failure that `error` amounts to; one of a role's own goes to the log with its traceback.

    Its message is not repeated, here or there: it may hold what must not leave this party.

    Args:
        what: what went wrong, such as `forward failed`.
    """
    if isinstance(error, UnfedError):
        failure = error.failure
        return failure if failure.party else msgspec.structs.replace(failure, party=party)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    log.error("%s: %s\n%s", what, type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
    return Failure(
        kind="role", message=f"{what}: {type(error).__name__}{where}", party=party, hint="its log has the traceback"
    )
