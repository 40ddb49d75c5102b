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
    parser.add_argument(
        "--end-with-parent", action="store_true", help="be killed when the process that started this one ends"
    )
    arguments = parser.parse_args()
    if sys.stdin is None or sys.stdin.isatty():
        parser.exit(
            2, "unfed-node reads its spec and roster from stdin; it is started by a launcher (docs/operate.md)\n"
        )
    if arguments.end_with_parent:
        from .parent import end_with_parent

        end_with_parent()
    from .link import LineStream
    from .play import play

    orders, reports = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # whatever a library reads or prints must not stand among orders and reports
    os.dup2(2, 1)
    os.close(nothing)
    try:
        play(LineStream(orders, reports))
    except KeyboardInterrupt:
        os._exit(130)


if __name__ == "__main__":
    main()
