"""Runs a command and turns whatever happens into an exit code and a line a person can use."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import click

from .commands import console
from .terminal import clean

if TYPE_CHECKING:
    from unfed.plugins import UnfedError

OK, FAILED, USAGE, NO_FLEET, INTERRUPTED = 0, 1, 2, 3, 130

_CODES = {"bad-input": USAGE, "unavailable": USAGE, "fleet": NO_FLEET, "cancelled": INTERRUPTED}
"""Kind of an error that ended a command → exit code; any other is `FAILED`."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Never raises but `KeyboardInterrupt`, and never shows a traceback."""
    signal.signal(signal.SIGTERM, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows no Unicode still shows something
    try:
        outcome = console.main(
            args=None if arguments is None else list(arguments), prog_name="unfed-console", standalone_mode=False
        )
    except click.exceptions.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        return FAILED
    except Exception as error:
        return _ended_by(error)
    return outcome if isinstance(outcome, int) else OK


def tell(error: UnfedError) -> None:
    """Say on stderr what happened and what to do next."""
    failure = error.failure
    named = failure.party and failure.party not in failure.message
    _say(f"unfed-console: {f'{failure.party}: ' if named else ''}{clean(failure.message)}")
    if failure.hint:
        _say(f"  hint: {clean(failure.hint)}")


def _ended_by(error: Exception) -> int:
    from unfed.plugins import UnfedError

    if isinstance(error, UnfedError):
        tell(error)
        return _CODES.get(error.failure.kind, FAILED)
    where = _write_crash(error)
    told = clean(str(error)).splitlines()
    _say(f"unfed-console: a bug: {type(error).__name__}{f': {told[0]}' if told else ''}; {where}")
    return FAILED


def _write_crash(error: Exception) -> str:
    """Where the stack went. Messages of exceptions are left out: they may quote a prompt."""
    try:
        from ..results.paths import private_folder, state_folder

        folder = private_folder(state_folder() / "crashes")
        path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
        stack: list[str] = []
        cause: BaseException | None = error
        while cause is not None and len(stack) < 200:
            stack += [
                f"{type(cause).__module__}.{type(cause).__qualname__}\n",
                *traceback.format_tb(cause.__traceback__),
            ]
            cause = cause.__cause__ or cause.__context__
        path.touch(mode=0o600)
        path.write_text("".join(stack), encoding="utf-8")
    except Exception:
        return "its log could not be written"
    return f"see {path}"


def _say(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
