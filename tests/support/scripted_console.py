"""A test double of `Session`: it starts no process and answers by script, so that the command line can be tested alone.

What a prompt says decides what happens: `lose` fails as a lost party would, `overlong` as bad input, `hang` waits until
the run is interrupted, `stuck` does not even end then, `bug` raises, `nofleet` keeps fleets from starting. Any other is
answered `echo: …`. Run as a script it is `unfed-console` with this session in place of the real one.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from unfed.console.results.record import AnswerInfo, Record, Result, Seconds
from unfed.console.runner.describe import describe
from unfed.console.runner.notices import (
    Answering,
    FleetFailed,
    FleetReady,
    FleetStarting,
    ResultReady,
    RunEnded,
    Watcher,
)
from unfed.console.runner.request import Request
from unfed.plugins import Failure, Started, Token
from unfed.plugins.host import PluginHost


class Session:
    """The double. `started` says on stderr when a query that waits has begun, for tests to send their signal."""

    def __init__(self, host: PluginHost, *, logs: Path, launcher: object = None) -> None:
        self._interrupted = asyncio.Event()
        assert logs.is_dir()

    async def warm(self) -> None:
        pass

    async def run(self, request: Request, watch: Watcher) -> Record:
        record = Record(run_id="scripted", started="2026-01-01T00:00:00+00:00", **describe(request))
        unstarted = {
            variant.id
            for variant in request.variants
            if (any("nofleet" in prompt.prompt for prompt in request.prompts) and variant.backend.name == "split")
            or any("nofleets" in prompt.prompt for prompt in request.prompts)
        }
        for variant in request.variants:
            watch(FleetStarting(variant.id))
            lost = Failure(kind="fleet", message="the port is taken", party="layers-0", hint="free it")
            watch(FleetFailed(variant.id, lost) if variant.id in unstarted else FleetReady(variant.id, 0.25))
        for prompt in request.prompts:
            for variant in request.variants:
                if self._interrupted.is_set():
                    break
                watch(Answering(variant.id, prompt.id, Started()))
                watch(Answering(variant.id, prompt.id, Token(id=1, text="echo")))
                result = Result(backend=variant.backend.name, variant=variant.id, prompt_id=prompt.id)
                result.options = variant.settings
                if variant.id in unstarted:
                    _fail(result, lost)
                else:
                    await self._answer(result, request.template.replace("{prompt}", prompt.prompt), variant.id)
                record.results.append(result)
                watch(ResultReady(result))
        record.status = "interrupted" if self._interrupted.is_set() else "complete"
        watch(RunEnded(record))
        return record

    async def _answer(self, result: Result, prompt: str, variant: str) -> None:
        if "stuck" in prompt or "hang" in prompt:
            print("waiting", file=sys.stderr, flush=True)
            await self._interrupted.wait()
            if "stuck" in prompt:
                print("still waiting", file=sys.stderr, flush=True)
                await asyncio.Event().wait()
            _fail(result, Failure(kind="cancelled", message="the query was cancelled"))
            result.status = "cancelled"
        elif "bug" in prompt:
            raise KeyError(prompt)
        elif "lose" in prompt and result.backend == "split":
            _fail(result, Failure(kind="party-lost", message="ended by signal 9", party="layers-1", hint="see its log"))
        elif "overlong" in prompt:
            _fail(result, Failure(kind="bad-input", message="the prompt has 300 tokens, the model takes 256"))
        else:
            result.answer = AnswerInfo(text=f"echo: {prompt}", token_ids=[1, 2])
            result.seconds = Seconds(setup=0.25, first_token=0.1, total=0.2, per_token=0.1)

    def interrupt(self) -> None:
        self._interrupted.set()

    async def close(self) -> None:
        print("closed", file=sys.stderr, flush=True)


def _fail(result: Result, failure: Failure) -> None:
    result.status, result.error = "failed", failure


def install() -> None:
    """Put the double in place of `unfed.console.runner.session`."""
    module: Any = ModuleType("unfed.console.runner.session")
    module.Session = Session
    sys.modules[module.__name__] = module


if __name__ == "__main__":
    install()
    from unfed.console.cli import main

    sys.exit(main())
