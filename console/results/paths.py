"""Where this user's records, logs and profiles lie."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

from unfed.plugins import UnfedError

APP = "unfed-console"
STATE = "UNFED_STATE_DIR"
CONFIG = "UNFED_CONFIG_DIR"
KEPT_DAYS, KEPT_RUNS = 14, 50
"""For how long and for how many runs logs are kept."""


def state_folder() -> Path:
    """Records, logs and recorded views: the platform's state folder, or `UNFED_STATE_DIR`. It may not exist yet."""
    if given := os.environ.get(STATE):
        return expand(given).absolute()
    from platformdirs import user_state_path

    return user_state_path(APP, appauthor=False)


def config_folder() -> Path:
    """The user's own profiles: the platform's config folder, or `UNFED_CONFIG_DIR`. It may not exist."""
    if given := os.environ.get(CONFIG):
        return expand(given).absolute()
    from platformdirs import user_config_path

    return user_config_path(APP, appauthor=False)


def expand(path: Path | str) -> Path:
    """`path` with its `~` put in; as it is where `~name` names no user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def private_folder(path: Path) -> Path:
    """`path`, made with its parents where missing, closed to other users.

    Raises:
        UnfedError: it cannot be made, naming it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def cannot_write(path: Path, error: OSError) -> UnfedError:
    """The error for a state folder (or a file in it) that cannot be written."""
    why = error.strerror or type(error).__name__
    return UnfedError(
        f"cannot write to {path}: {why}",
        kind="unavailable",
        hint=f"make room or mend its permissions, or set {STATE} to a folder that can be written",
    )


def run_folder(kind: str) -> Path:
    """A fresh private folder for one run, `kind` being `logs` or `views`.

    Folders of logs are removed that nothing has touched for two weeks, or that are not among the newest; never one
    whose console lives. Views are what records point to, and stay.

    Raises:
        UnfedError: it cannot be made.
    """
    parent = private_folder(state_folder() / kind)
    if kind == "logs":
        _forget_old(parent)
    try:
        folder = Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=parent))
        _claims.append(os.open(folder, os.O_RDONLY))
        fcntl.flock(_claims[-1], fcntl.LOCK_SH)
    except OSError as error:
        raise cannot_write(parent, error) from error
    return folder


_claims: list[int] = []
"""Descriptors of this process's folders, locked for as long as it lives."""


def _forget_old(parent: Path) -> None:
    found = []
    for folder in parent.iterdir():
        with contextlib.suppress(OSError):  # another console removed it first
            if folder.is_dir() and not folder.is_symlink():
                found.append((_touched(folder), folder))
    oldest = time.time() - KEPT_DAYS * 86400
    for place, (touched, folder) in enumerate(sorted(found, reverse=True)):
        if place >= KEPT_RUNS or touched < oldest:
            with contextlib.suppress(OSError):
                _forget(folder)


def _forget(folder: Path) -> None:
    """Remove a folder unless a console that lives has claimed it. Raises OSError."""
    claim = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(claim)


def _touched(folder: Path) -> float:
    """When something in it was last written: a fleet may run for longer than its folder stays as it is."""
    return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
