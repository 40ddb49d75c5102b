"""Writes a file whole or not at all, and finds out beforehand whether it can be written."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from unfed.plugins import UnfedError


def check_output(path: str) -> None:
    """See whether `path` could be written, leaving it as it is; `-` is standard output.

    Raises:
        UnfedError: it could not, and why.
    """
    if path == "-":
        return
    target = Path(path)
    try:
        if target.is_dir():
            raise UnfedError(f"cannot write {path}: it is a folder", hint="name a file in it")
        if _special(target):
            if not os.access(target, os.W_OK):
                raise UnfedError(f"cannot write {path}: Permission denied")
            return
        descriptor, probe = tempfile.mkstemp(prefix=".unfed-", dir=target.resolve().parent)
        os.close(descriptor)
        Path(probe).unlink()
    except (OSError, ValueError) as error:
        raise _refused(path, error) from error


def write_output(path: str, data: bytes) -> None:
    """Put `data` into `path`: a reader sees the old file or the new one, never a part.

    Raises:
        UnfedError: it cannot be written; an earlier file is as it was.
    """
    target = Path(path)
    try:
        if _special(target):
            with target.open("wb", buffering=0) as file:
                file.write(data)
            return
        target = target.resolve()  # a link stays a link
        descriptor, name = tempfile.mkstemp(prefix=".unfed-", dir=target.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(_mode(target))
            temporary.replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except (OSError, ValueError) as error:
        raise _refused(path, error) from error


def _special(target: Path) -> bool:
    """Whether it is there and no ordinary file: a pipe or a device, which is written to and not replaced."""
    try:
        return not stat.S_ISREG(target.stat().st_mode)
    except FileNotFoundError:
        return False


def _mode(target: Path) -> int:
    """The mode of the file that is there, else what the user's mask asks for."""
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _refused(path: str, error: OSError | ValueError) -> UnfedError:
    return UnfedError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}")
