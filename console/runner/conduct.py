"""One run: its queries, prompt by prompt and variant by variant, their scores, and the record they make."""

from __future__ import annotations

import asyncio
import datetime
import secrets
from collections.abc import Coroutine, Iterable, Mapping

import msgspec

from unfed.plugins import Failure, Note, Query, Token, UnfedError, cards_of, misfit
from unfed.plugins.host import PluginHost

from ..fleet.fleet import Fleet
from ..fleet.state import PartyState
from ..results.record import Fidelity, News, Prompt, Record, Result, now
from . import score
from .describe import describe
from .notices import Answering, ResultReady, RunBegan, RunEnded, Watcher
from .outcome import blank, heard, party_info, settled
from .request import Request
from .rewarding import Rewarding
from .variants import Variant


class Run:
    """A run in progress. Queries go out as `Request.concurrency` and `Request.race` say; results keep prompt order."""

    def __init__(self, host: PluginHost, request: Request, watch: Watcher, interrupted: asyncio.Event) -> None:
        self._request = request
        self._watch = watch
        self._reference = score.reference_variant(request.variants)
        self._results: dict[tuple[str, str], Result] = {}
        self._tokens: dict[tuple[str, str], list[Token] | None] = {}
        self._answered: dict[tuple[str, str], asyncio.Event] = {}
        self._skip: set[str] = set()
        self._in_flight: dict[str, set[tuple[Fleet, str]]] = {}
        self._rewarding = Rewarding(host.reward_schemes())
        self.interrupted = interrupted
        self.record = Record(
            run_id=f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
            started=now(),
            **describe(request),
        )

    async def conduct(self, fleets: Mapping[str, Fleet], failed: Mapping[str, UnfedError]) -> Record:
        """Ask everything; returns the finished record."""
        request = self._request
        self._watch(RunBegan(self.record))
        slots = asyncio.Semaphore(request.concurrency)
        # The reference goes first, so that the others can be scored as soon as they answer.
        variants = sorted(request.variants, key=lambda variant: variant.id != self._reference)
        for prompt in request.prompts:
            for variant in variants:
                self._answered[variant.id, prompt.id] = asyncio.Event()

        async def one(variant: Variant, prompt: Prompt) -> None:
            if self.interrupted.is_set():
                return
            if variant.id in self._skip:
                self._skip.discard(variant.id)
                cancelled = Failure(kind="cancelled", message="the query was cancelled before it began")
                await self._close(variant, prompt, blank(variant, prompt, cancelled), None)
            elif (failure := self._unasked(variant, prompt, failed)) is not None:
                await self._close(variant, prompt, blank(variant, prompt, failure), None)
            else:
                await self._ask(fleets[variant.id], variant, prompt)

        async def bounded(variant: Variant, prompt: Prompt) -> None:
            async with slots:
                await self._quiet(fleets.values())
                await one(variant, prompt)

        if request.race:
            for prompt in request.prompts:
                await self._quiet(fleets.values())
                await _together(one(variant, prompt) for variant in variants)
        else:
            await _together(bounded(variant, prompt) for prompt in request.prompts for variant in variants)
        return self.finish([state for fleet in fleets.values() for state in fleet.parties()])

    def finish(self, parties: list[PartyState]) -> Record:
        """The record as it stands, closed."""
        request, record = self._request, self.record
        record.results = [
            self._results[variant.id, prompt.id]
            for prompt in request.prompts
            for variant in request.variants
            if (variant.id, prompt.id) in self._results
        ]
        wanted = {variant.id for variant in request.variants}
        record.parties = [party_info(state) for state in parties if state.variant in wanted]
        record.status = "interrupted" if self.interrupted.is_set() else "complete"
        self._watch(RunEnded(record))
        return record

    def hear(self, news: News) -> bool:
        """What a client told that is no query's; whether it is of a variant of this run, whose record then holds it."""
        mine = any(variant.id == news.variant for variant in self._request.variants)
        if mine:
            self.record.news.append(news)
            self._rewarding.heard(news.variant, news)
        return mine

    def interrupt(self) -> None:
        self.interrupted.set()
        for variant in list(self._in_flight):
            self.cancel(variant)

    def cancel(self, variant: str) -> None:
        """End the queries that a variant has in flight; where it has none yet, the next one does not begin."""
        flights = list(self._in_flight.get(variant, ()))
        for fleet, query in flights:
            fleet.cancel(query)
        if not flights:
            self._skip.add(variant)

    async def _quiet(self, fleets: Iterable[Fleet]) -> None:
        """What fleets do ahead of their next query must not disturb this one."""

        async def rest() -> None:
            await asyncio.gather(*(fleet.rested() for fleet in fleets))

        waiting = [asyncio.create_task(rest()), asyncio.create_task(self.interrupted.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    def _unasked(self, variant: Variant, prompt: Prompt, failed: Mapping[str, UnfedError]) -> Failure | None:
        """Why a prompt is not asked of a variant; None where it is."""
        request = self._request
        if (fault := request.refused.get(prompt.id)) is not None:
            return fault
        error = failed.get(variant.id) or misfit(
            request.images.get(prompt.id), cards_of(variant.backend, request.models)
        )
        return error.failure if error is not None else None

    async def _ask(self, fleet: Fleet, variant: Variant, prompt: Prompt) -> None:
        request = self._request
        image = request.images.get(prompt.id)
        query = Query(
            id=secrets.token_hex(6),
            prompt="" if image else request.template.replace("{prompt}", prompt.prompt),
            image=image,
            max_new_tokens=request.sampling.max_new_tokens,
            temperature=request.sampling.temperature,
            top_p=request.sampling.top_p,
            seed=request.sampling.seed,
            logits=self._reference is not None or image is not None,
        )
        result = blank(variant, prompt)
        tokens: list[Token] = []
        flight = (fleet, query.id)
        self._in_flight.setdefault(variant.id, set()).add(flight)
        result.seconds.setup = fleet.setup_seconds
        result.guarantee = list(fleet.plan.guarantee)
        result.mode = fleet.plan.mode
        try:
            async for event in fleet.ask(query, request.timeout):
                shown = msgspec.structs.replace(event, logits=None) if isinstance(event, Token) else event
                self._watch(Answering(variant.id, prompt.id, shown))
                heard(result, query, tokens, event)
                if isinstance(event, Note):
                    self._rewarding.heard(variant.id, event)
        finally:
            self._in_flight[variant.id].discard(flight)
        settlement = await fleet.settle(query.id)
        settled(result, query, settlement, self._request.audit is not None)
        self._rewarding.settled(variant.id, result, settlement.contributions)
        await self._close(variant, prompt, result, tokens if result.status == "ok" else None)

    async def _close(self, variant: Variant, prompt: Prompt, result: Result, tokens: list[Token] | None) -> None:
        """Score a result against the reference, waiting for that where it is still under way, and publish it."""
        key = (variant.id, prompt.id)
        self._tokens[key] = tokens
        self._answered[key].set()
        result.utility = score.utility(result.answer.text if result.answer else "", prompt.label)
        if self._reference is None:
            result.fidelity = Fidelity(reason=score.NO_REFERENCE)
        else:
            reference = (self._reference, prompt.id)
            if reference != key:
                await self._answered[reference].wait()
            theirs = self._tokens[reference]
            reason = "" if theirs is not None else score.REFERENCE_FAILED
            result.fidelity = score.fidelity(tokens, theirs, reason=reason)
        self._results[key] = result
        self._watch(ResultReady(result))
        if all((each.id, prompt.id) in self._results for each in self._request.variants):
            for each in self._request.variants:
                self._tokens[each.id, prompt.id] = None  # logits are large and have served


async def _together(work: Iterable[Coroutine[None, None, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for each in work:
            group.create_task(each)
