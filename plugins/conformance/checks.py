"""The checklist: every check by name, in the order they are made."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from ..errors import UnfedError
from . import accounts, answers, face, faults, links
from .outcome import Complaint, NotApplicable, Outcome
from .rig import Rig

Check = Callable[[Rig], Awaitable[str]]
"""Returns what was seen; raises `Complaint` or `NotApplicable`."""

CHECKS: Mapping[str, Check] = {
    "imports": face.imports,
    "plan": face.plan,
    "declared": face.declared,
    "guarantee": face.guarantee,
    "events": answers.events,
    "bad-input": answers.bad_input,
    "concurrency": answers.concurrency,
    "forgetting": answers.forgetting,
    "traffic": accounts.traffic,
    "canaries": accounts.canaries,
    "record": accounts.record,
    "links": links.refusals,
    "cancel": faults.cancellation,
    "crash": faults.crash,
    "hang": faults.hang,
    "logs": accounts.logs,
}
LIMIT = 20
"""A whole check may take this many times what one query may."""


def title(name: str) -> str:
    """One sentence: what the check asks for."""
    return (CHECKS[name].__doc__ or "").strip().partition("\n")[0]


async def examine(rig: Rig, name: str) -> Outcome:
    """Make one check; whatever goes wrong is the outcome."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(LIMIT * rig.patience):
            status, detail = "pass", await CHECKS[name](rig)
    except NotApplicable as reason:
        status, detail = "n/a", str(reason)
    except (Complaint, UnfedError) as complaint:
        status, detail = "fail", str(complaint)
    except TimeoutError:
        status, detail = "fail", f"the check was not over within {LIMIT * rig.patience:g} s"
    except Exception as error:  # the code under test may raise anything at all
        status, detail = "fail", f"{type(error).__name__}: {error}"
    return Outcome(
        check=name,
        title=title(name),
        status=status,  # type: ignore[arg-type]
        detail=detail,
        seconds=time.monotonic() - began,
    )
