"""The command line: `unfed-console`. Data goes to stdout, narration to stderr.

Exit codes: 0 all is well, 1 some result failed (or the console did), 2 usage or bad input, 3 no fleet could start,
130 interrupted.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. Nothing is imported before it can be interrupted."""
    try:
        from .entry import run

        return run(arguments)
    except KeyboardInterrupt:
        import signal

        signal.signal(signal.SIGINT, signal.SIG_IGN)  # we are leaving already
        with contextlib.suppress(OSError, ValueError):
            print("unfed-console: interrupted", file=sys.stderr)
        return 130
