"""What `compare` does, from checking its outputs to its exit code."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from unfed.plugins import UnfedError
from unfed.plugins.host import PluginHost

from ..results.export import format_of, write
from ..results.files import check_output, write_output
from ..results.paths import run_folder
from ..results.record import Record, to_json
from ..results.store import Store
from ..runner.build import Wanted, build
from .attend import attend
from .entry import FAILED, INTERRUPTED, NO_FLEET, OK, USAGE, tell
from .interrupts import Interrupts
from .narrate import Narrator
from .output import emit, emit_bytes
from .report import report
from .sessions import Attended, attach, check_sets, open_session


def compare(
    *,
    json: str | None,
    exports: tuple[str, ...],
    no_save: bool,
    quiet: bool,
    audit: bool,
    fleet: str | None,
    **asked: Any,
) -> int:
    """Run, save, write and print; returns the exit code.

    Raises:
        UnfedError: nothing could be run.
    """
    for path in (json, *exports):
        if path is not None:
            check_output(path)
    for path in exports:
        format_of(path)
    if fleet is not None and audit:
        raise UnfedError("--audit cannot be changed for a fleet that runs", hint="give it to fleet start")
    wanted = Wanted(**asked)
    host = PluginHost()
    if fleet is None:
        check_sets(wanted, host)
    narrator = Narrator(quiet=quiet)
    store = None if no_save else Store()
    if store is not None:
        _warned(store.check, "the answers will be printed, but not stored")

    async def work(interrupts: Interrupts) -> Record:
        session: Attended
        if fleet is None:
            request = await build(wanted, host, narrator.say)
            if audit:
                request = msgspec.structs.replace(request, audit=run_folder("views"))
            session = open_session(host, narrator.say)
        else:
            session, request = await attach(fleet, wanted, host, narrator.say)
        return await attend(session, request, narrator, interrupts)

    with Interrupts() as interrupts:
        try:
            record = asyncio.run(work(interrupts))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        finally:
            narrator.end()
        interrupts.ask, interrupts.insist = (lambda: narrator.say("one moment: the record is being saved")), None
        return _keep(record, host, narrator, store, json, exports)


def _keep(
    record: Record,
    host: PluginHost,
    narrator: Narrator,
    store: Store | None,
    json: str | None,
    exports: tuple[str, ...],
) -> int:
    """Store, write and print the record. Whatever of this fails takes nothing else with it; returns the exit code."""
    code = exit_code(record, narrator.unstarted)
    if store is not None and not _warned(lambda: store.save(record)):
        code = code or FAILED
    outputs = [(path, write([record], format_of(path))) for path in exports]
    if json is not None:
        outputs.insert(0, (json, to_json(record)))
    for path, data in outputs:
        hint = f"unfed-console runs export {record.run_id} writes it again" if store else ""
        if not _warned(functools.partial(_put, path, data), hint):
            code = code or FAILED
    if json != "-":
        emit(report(record))
    for problem in host.run_finished(msgspec.json.decode(to_json(record))):
        narrator.say(problem)
    return code


def _put(path: str, data: bytes) -> None:
    if path == "-":
        emit_bytes(data)
    else:
        write_output(path, data)


def exit_code(record: Record, unstarted: set[str]) -> int:
    """The exit code of a run. `unstarted` are the variants whose fleet could not start."""
    failed = [result for result in record.results if result.status != "ok"]
    if record.status == "interrupted":
        return INTERRUPTED
    if not failed:
        return OK if record.results else FAILED
    if len(failed) < len(record.results):
        return FAILED
    if all(result.error is not None and result.error.kind == "bad-input" for result in failed):
        return USAGE
    if all(result.variant in unstarted for result in failed):
        return NO_FLEET
    return FAILED


def _warned(step: Callable[[], None], hint: str = "") -> bool:
    """Whether a step that must not take the answers with it went well; if not, its error has been told."""
    try:
        step()
    except UnfedError as error:
        tell(error)
        if hint:
            print(f"  {hint}", file=sys.stderr)
        return False
    return True
