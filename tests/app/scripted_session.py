"""A session for tests of the screens: it replays notices with fixed figures and waits where a test tells it to.

Nothing is run; every number below is made up so that pictures are the same each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from scripted_backends import CARD

from unfed.console.fleet.state import PartyState
from unfed.console.results.record import (
    AnswerInfo,
    Fidelity,
    News,
    Record,
    Result,
    RewardSplit,
    Seconds,
    Traffic,
    Utility,
)
from unfed.console.runner.notices import (
    Answering,
    FleetFailed,
    FleetReady,
    FleetStarting,
    PartyChanged,
    ResultReady,
    RunEnded,
    Watcher,
)
from unfed.console.runner.request import Request
from unfed.console.runner.variants import Variant
from unfed.plugins import Answer, Event, Failed, Failure, Finished, LinkCount, Phase, Started, Token, UnfedError

PIECES = ((311, " animal"), (25, ":"), (902, " african"), (44, " elephant"), (0, ""))
PLAN_SECONDS = {"plain": 0.412, "split": 0.655, "veil": 0.301}


class ScriptedSession:
    """Replays. Attributes set by tests:

    holds: variant → how many tokens come before it waits for `release`.
    faults: variant → the failure that ends its answer after those tokens.
    starts: variant → the failure of its fleet.
    pieces: variant → tokens other than `PIECES`.
    told: variant → what its client tells before the first token.
    between: what clients told that is no query's.
    """

    def __init__(self) -> None:
        self.holds: dict[str, int] = {}
        self.faults: dict[str, Failure] = {}
        self.starts: dict[str, Failure] = {}
        self.pieces: dict[str, tuple[tuple[int, str], ...]] = {}
        self.told: dict[str, tuple[Event, ...]] = {}
        self.between: list[News] = []
        self.release = asyncio.Event()
        self.calls: list[tuple[str, ...]] = []
        self.requests: list[Request] = []
        self.logs: dict[tuple[str, str], list[str]] = {}
        self.watch: Watcher = lambda notice: None
        self.closed = False
        self._parties: dict[tuple[str, str], PartyState] = {}
        self._cancelled: dict[str, asyncio.Event] = {}
        self._interrupted = False

    async def warm(self) -> None:
        self.calls.append(("warm",))

    async def open(self, request: Request, watch: Watcher) -> Mapping[str, UnfedError]:
        self.watch = watch
        errors: dict[str, UnfedError] = {}
        for variant in request.variants:
            if (failure := self._start(variant)) is not None:
                errors[variant.id] = UnfedError.of(failure)
        return errors

    async def run(self, request: Request, watch: Watcher) -> Record:
        self.requests.append(request)
        self._interrupted, self._cancelled = False, {variant.id: asyncio.Event() for variant in request.variants}
        record = Record(run_id="run-1", started="2025-01-01T12:00:00", profile=request.profile)
        record.prompts = list(request.prompts)
        record.concurrency = len(request.variants) if request.race else 1
        failed = await self.open(request, watch)
        async with asyncio.TaskGroup() as group:
            tasks = []
            for variant in request.variants:
                tasks.append(group.create_task(self._answer(variant, request, failed)))
                if not request.race:
                    await tasks[-1]
        record.results = [result for task in tasks if (result := task.result()) is not None]
        record.status = "interrupted" if self._interrupted else "complete"
        watch(RunEnded(record))
        return record

    def interrupt(self) -> None:
        self.calls.append(("interrupt",))
        self._interrupted = True
        for event in self._cancelled.values():
            event.set()

    def cancel(self, variant: str) -> None:
        self.calls.append(("cancel", variant))
        self._cancelled[variant].set()

    async def kill(self, variant: str, party: str) -> None:
        self.calls.append(("kill", variant, party))
        state = self._parties[(variant, party)]
        state.health, state.note, state.cpu_percent = "lost", "killed by signal 9", 0.0
        self.watch(PartyChanged(state))

    async def restart(self, variant: str, party: str) -> None:
        self.calls.append(("restart", variant, party))
        state = self._parties[(variant, party)]
        state.health, state.note, state.restarts = "ready", "", state.restarts + 1
        self.watch(PartyChanged(state))

    def parties(self) -> list[PartyState]:
        return list(self._parties.values())

    def news(self) -> list[News]:
        return list(self.between)

    def log_tail(self, variant: str, party: str, lines: int = 200) -> list[str]:
        return self.logs.get((variant, party), [f"{party}: ready, 2 peers pinned"])[-lines:]

    async def close(self) -> None:
        self.closed = True

    # the replay

    def _start(self, variant: Variant) -> Failure | None:
        if any(key[0] == variant.id for key in self._parties):
            return None
        self.watch(FleetStarting(variant.id))
        if (failure := self.starts.get(variant.id)) is not None:
            self.watch(FleetFailed(variant.id, failure))
            return failure
        plan = variant.backend().plan({"model": CARD}, variant.options)
        for index, name in enumerate(plan.processes()):
            state = PartyState(
                variant=variant.id,
                backend=variant.backend.name,
                name=name,
                role=plan.party(name).role.rpartition(":")[2],
                trusted=name == "client",
                pid=4200 + 10 * len(self._parties) + index,
                health="ready",
                cpu_percent=3.0 + 17 * index,
                rss_bytes=212_400_000 + index * 1_000_000,
                pss_bytes=28_300_000 + index * 1_700_000,
                bytes_in=12_400 * (index + 1),
                bytes_out=9_850 * (index + 1),
            )
            self._parties[(variant.id, name)] = state
            self.watch(PartyChanged(state))
        self.watch(FleetReady(variant.id, PLAN_SECONDS.get(variant.backend.name, 0.5)))
        return None

    async def _answer(self, variant: Variant, request: Request, failed: Mapping[str, UnfedError]) -> Result | None:
        prompt = request.prompts[0]
        if self._interrupted:
            return None

        def tell(event: Any) -> None:
            self.watch(Answering(variant.id, prompt.id, event))

        result = Result(backend=variant.backend.name, variant=variant.id, prompt_id=prompt.id)
        plan = variant.backend().plan({"model": CARD}, variant.options)
        result.guarantee, result.mode = list(plan.guarantee), plan.mode
        if (error := failed.get(variant.id)) is not None:
            result.status, result.error = "failed", error.failure
            self.watch(ResultReady(result))
            return result
        pieces = self.pieces.get(variant.id, PIECES)
        hold = self.holds.get(variant.id, len(pieces) + 1)
        failure = self.faults.get(variant.id)
        tell(Started())
        for event in self.told.get(variant.id, ()):
            tell(event)
        tell(Phase(name="prefill", party="client"))
        for index, (token, text) in enumerate(pieces):
            if index == hold:
                await self._wait(variant.id)
                if self._cancelled[variant.id].is_set():
                    failure = Failure(kind="cancelled", message="the query was cancelled")
                if failure is not None:
                    break
            if index == 1:
                tell(Phase(name="prefill", party="client", seconds=0.0123))
                tell(Phase(name="decode", party="client"))
            tell(Token(id=token, text=text, at=0.0123 + 0.0031 * index))
        if failure is not None:
            tell(Failed(error=failure))
            result.status, result.error = ("cancelled" if failure.kind == "cancelled" else "failed"), failure
        else:
            self._finish(result, pieces, tell, prompt.label)
        self.watch(ResultReady(result))
        return result

    async def _wait(self, variant: str) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (self.release, self._cancelled[variant])]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    def _finish(self, result: Result, pieces: Any, tell: Any, label: str | None) -> None:
        text, ids = "".join(text for _, text in pieces), [token for token, _ in pieces]
        phases = {"prefill": 0.0123, "decode": 0.0124}
        offline = 0.214 if result.mode == "simulated" else 0.0
        tell(
            Finished(answer=Answer(text=text, token_ids=tuple(ids)), total=0.0247, first_token=0.0123, offline=offline)
        )
        result.answer = AnswerInfo(text=text, token_ids=ids)
        result.seconds = Seconds(
            setup=PLAN_SECONDS.get(result.backend, 0.5),
            offline=offline,
            first_token=0.0123,
            total=0.0247,
            per_token=0.0031,
            phases=phases,
        )
        nodes = [name for (variant, name) in self._parties if variant == result.variant and name != "client"]
        ends = ["client", *nodes, "client"]
        result.traffic = Traffic(
            messages=2 * len(ids) * len(nodes),
            bytes=1_240 * len(ids) * len(nodes),
            rounds=len(ids) * (len(nodes) + 1),
            links=[LinkCount(source=a, target=b, messages=len(ids), bytes=1_240 * len(ids)) for a, b in pairwise(ends)],
        )
        same = ids == [token for token, _ in PIECES]
        result.fidelity = Fidelity(
            reference="plain", token_agreement=1.0 if same else 0.6, mean_kl=2.1e-9, max_logit_error=1.4e-6
        )
        result.utility = Utility(correct=None if label is None else text.split()[0].strip(":") == label)
        work = {name: (2.0 if index == 0 else 1.0) / (len(nodes) + 1) for index, name in enumerate(nodes)}
        result.rewards = [
            RewardSplit(scheme="equal", shares={name: 1 / len(nodes) for name in nodes}),
            RewardSplit(scheme="work", shares=work),
        ]
