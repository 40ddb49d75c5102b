"""`unfed-node`: run one party, cold, from what stands on stdin; for launchers that have no fork server.

Lines of JSON in (`begin` with the spec, `roster`, `meet`, then queries), lines of JSON out (`hello`, `pinned`, `ready`,
`beat`, …): the control messages of `control.py`. It ends with its stdin.
"""

from __future__ import annotations

import argparse
import os
import sys


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="unfed-node",
        description="Run one party of a fleet. Its spec, roster and orders are read from stdin as lines of JSON; "
        "reports are written to stdout. See docs/operate.md.",
    )
    parser.parse_args()
    if sys.stdin.isatty():
        parser.exit(
            2, "unfed-node reads its spec and roster from stdin; it is started by a launcher (docs/operate.md)\n"
        )
    from .host import play
    from .link import LineStream

    reports = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not stand among the reports
    play(LineStream(sys.stdin.buffer, reports))
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
