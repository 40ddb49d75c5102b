"""What the system says of a process."""

from __future__ import annotations

import psutil


def is_stopped(pid: int) -> bool:
    """Whether a process of this host is stopped, as by SIGSTOP; False where there is none."""
    try:
        return psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except psutil.Error:
        return False  # its end is reported by whoever reaps it
