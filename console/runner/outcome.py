"""What the record says of a query: from its events, and from what the parties report on it."""

from __future__ import annotations

from unfed.plugins import CLIENT, Event, Failed, Failure, Finished, Metric, Note, Phase, Query, Token

from ..fleet.settlement import Settlement
from ..fleet.state import PartyState
from ..results.record import AnswerInfo, AuditEntry, PartyInfo, Prompt, Result, Seconds, Traffic, ViewInfo, noted
from . import score
from .variants import Variant


def blank(variant: Variant, prompt: Prompt, error: Failure | None = None) -> Result:
    """A result before anything came, or one that `error` is all of."""
    return Result(
        backend=variant.backend.name,
        variant=variant.id,
        prompt_id=prompt.id,
        options=variant.settings,
        status="ok" if error is None else "cancelled" if error.kind == "cancelled" else "failed",
        error=error,
        seconds=Seconds(),
    )


def heard(result: Result, query: Query, tokens: list[Token], event: Event) -> None:
    """Take in one event; tokens are added to those so far."""
    if isinstance(event, Token):
        tokens.append(event)
    elif isinstance(event, Phase) and event.seconds is not None and event.party != CLIENT:
        phases, name = result.seconds.phases, f"{event.party}:{event.name}"
        phases[name] = phases.get(name, 0.0) + event.seconds
    elif isinstance(event, Metric):
        result.metrics[event.name] = event.value
    elif isinstance(event, Note):
        result.notes.append(noted(event))
    elif isinstance(event, Finished):
        _answered(result, event)
        if query.image is not None and result.answer is not None:
            result.answer.scores = score.scores(tokens)
    elif isinstance(event, Failed):
        result.status = "cancelled" if event.error.kind == "cancelled" else "failed"
        result.error = event.error


def settled(result: Result, query: Query, settlement: Settlement, audit: bool) -> None:
    """Take in what the parties report."""
    trace = settlement.trace
    result.traffic = Traffic(messages=trace.messages, bytes=trace.bytes, rounds=trace.rounds, links=list(trace.links))
    adopted = list(settlement.adopted)
    result.views = [
        ViewInfo(party=view.party, path=str(view.path), query=query.id, entries=entries, bytes=size, adopted=adopted)
        for view, entries, size in settlement.views
    ]
    if audit:
        result.audit = [
            AuditEntry(party=each.party, reason="no attack available: none is installed for this backend")
            for each in settlement.contributions
        ]


def _answered(result: Result, event: Finished) -> None:
    answer, seconds = event.answer, result.seconds
    result.answer = AnswerInfo(text=answer.text, token_ids=list(answer.token_ids), stopped=answer.stopped)
    seconds.total, seconds.first_token = event.total, event.first_token
    seconds.offline, seconds.ahead = event.offline, event.ahead
    if len(answer.token_ids) > 1:  # a single token has no second one to wait for
        seconds.per_token = (event.total - event.first_token) / (len(answer.token_ids) - 1)
    seconds.phases |= event.phases


def party_info(state: PartyState) -> PartyInfo:
    return PartyInfo(
        backend=state.backend,
        variant=state.variant,
        name=state.name,
        pid=state.pid,
        trusted=state.trusted,
        rss_bytes=state.rss_bytes,
        cpu_seconds=state.cpu_seconds,
        pss_bytes=state.pss_bytes,
        role=state.role,
        restarts=state.restarts,
    )
