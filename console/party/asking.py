"""How the client's host runs one query: it times what the role yields and turns every ending into an event."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec

from unfed.plugins import (
    Answer,
    ClientRole,
    Event,
    Failed,
    Failure,
    Finished,
    Metric,
    Query,
    Started,
    Token,
    UnfedError,
)

from .context import PartyContext

Explain = Callable[[BaseException, str], Failure]


async def answer(
    role: ClientRole, ctx: PartyContext, query: Query, emit: Callable[[Event], None], explain: Explain
) -> None:
    """Drive `role.answer` and emit its events; ends with `Finished` or `Failed`, always, and never raises."""
    emit(Started())
    began = time.perf_counter()

    def online() -> float:
        return time.perf_counter() - began - ctx.offline.get(query.id, 0.0)

    first: float | None = None
    final: Answer | None = None
    events = role.answer(query)
    try:
        async for event in events:
            if isinstance(event, Token):
                at = online()
                first = at if first is None else first
                emit(msgspec.structs.replace(event, at=at))
            elif isinstance(event, Metric):
                emit(msgspec.structs.replace(event, party=event.party or ctx.name))
            elif isinstance(event, Answer):
                final = event
            else:
                raise UnfedError(
                    f"{type(role).__name__} yielded {type(event).__name__}", kind="internal", party=ctx.name
                )
        total = online()
        if final is None:
            raise UnfedError("the role ended without an Answer", kind="internal", party=ctx.name)
        emit(
            Finished(
                answer=final,
                total=total,
                first_token=total if first is None else first,
                offline=ctx.offline.get(query.id, 0.0),
                phases=dict(ctx.phases.get(query.id, {})),
            )
        )
    except asyncio.CancelledError:
        emit(Failed(error=Failure(kind="cancelled", message="the query was cancelled")))
    except Exception as error:
        emit(Failed(error=explain(error, "the answer failed")))
    finally:
        close = getattr(events, "aclose", None)
        if close is not None:
            await close()
