"""The command line: `unfed-console`. Data goes to stdout, narration to stderr.

Exit codes: 0 all is well, 1 some result failed (or the console did), 2 usage or bad input, 3 no fleet could start,
130 interrupted.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. Nothing is imported before it can be interrupted."""
    try:
        _open_what_is_closed()
        from .entry import run

        return run(arguments)
    except KeyboardInterrupt:
        import signal

        signal.signal(signal.SIGINT, signal.SIG_IGN)  # we are leaving already
        with contextlib.suppress(OSError, ValueError):
            print("unfed-console: interrupted", file=sys.stderr)
        return 130


def _open_what_is_closed() -> None:
    """Let a standard stream that we were started without (`>&-`) lead nowhere, before another file takes its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = os.fdopen(os.open(os.devnull, os.O_RDONLY if mode == "r" else os.O_WRONLY), mode, encoding="utf-8")
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
