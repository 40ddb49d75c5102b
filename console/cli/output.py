"""Data for stdout. Imports nothing heavy before it is needed."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any


def emit(text: str) -> None:
    """`text` and a line end on stdout, at once.

    Raises:
        BrokenPipeError: whoever read us is gone.
        UnfedError: it cannot be written, and why.
    """
    emit_bytes(f"{text}\n".encode(getattr(sys.stdout, "encoding", None) or "utf-8", "backslashreplace"))


def emit_bytes(data: bytes) -> None:
    """See `emit`."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        close_stdout()
        raise
    except OSError as error:
        from unfed.plugins import UnfedError

        close_stdout()
        raise UnfedError(f"cannot write to standard output: {error.strerror}", kind="internal") from error


def print_json(value: Any) -> None:
    """`value` (anything msgspec can encode) on stdout, indented."""
    import msgspec

    emit_bytes(msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")


def close_stdout() -> None:
    """Let whatever is still to be written, the interpreter's last flush included, go nowhere."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
