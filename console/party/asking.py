"""How the client's host runs one query: it times what the role yields and turns every ending into an event."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import msgspec

from unfed.plugins import (
    Answer,
    ClientRole,
    Event,
    Failed,
    Failure,
    Finished,
    Metric,
    Note,
    Query,
    Route,
    Started,
    Token,
    UnfedError,
    misfit,
)

from .context import PartyContext
from .telling import checked

Explain = Callable[[BaseException, str], Failure]


async def answer(
    role: ClientRole, ctx: PartyContext, query: Query, emit: Callable[[Event], None], explain: Explain
) -> None:
    """Drive `role.answer` and emit its events; ends with `Finished` or `Failed`, always, and never raises."""
    emit(Started())
    phases = ctx.phases[query.id]
    began = time.perf_counter()

    def online() -> float:
        return time.perf_counter() - began - phases.offline()

    first: float | None = None
    final: Answer | None = None
    events: AsyncIterator[Token | Metric | Note | Route | Answer] | None = None
    try:
        cards = [model.card for model in ctx.models.values()]
        if cards and (fault := misfit(query.image, cards)) is not None:
            raise fault
        events = role.answer(query)
        async for event in events:
            if isinstance(event, Token):
                at = online()
                first = at if first is None else first
                emit(checked(msgspec.structs.replace(event, at=at), Token))
            elif isinstance(event, Metric):
                emit(checked(msgspec.structs.replace(event, party=event.party or ctx.name), Metric))
            elif isinstance(event, Note):
                emit(checked(msgspec.structs.replace(event, at=online()), Note))
            elif isinstance(event, Route):
                emit(checked(event, Route))
            elif isinstance(event, Answer):
                final = checked(event, Answer)
            else:
                raise UnfedError(
                    f"{type(role).__name__} yielded {type(event).__name__}", kind="internal", party=ctx.name
                )
        total = online()
        if final is None:
            raise UnfedError("the role ended without an Answer", kind="internal", party=ctx.name)
        ending: Event = Finished(
            answer=final,
            total=total,
            first_token=total if first is None else first,
            offline=phases.offline(),
            ahead=ctx.adopted[query.id],
            phases=dict(phases.seconds),
        )
    except asyncio.CancelledError:
        ending = Failed(error=Failure(kind="cancelled", message="the query was cancelled"))
    except Exception as error:
        ending = Failed(error=explain(error, "the answer failed"))
    emit(ending)
    close = getattr(events, "aclose", None)
    if close is not None:
        with contextlib.suppress(Exception):
            await close()
