"""Dying with the process that started this one, whatever state this one is in."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def end_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when the *thread* that started it ends (Linux; elsewhere nothing happens).

    Only for processes whose parent starts them from a thread that lives as long as itself.

    Args:
        parent: its process id, taken before this process was started; if it is gone already, this process ends now.
    """
    if not hasattr(_libc, "prctl"):
        return
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os._exit(0)
