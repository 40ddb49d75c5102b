"""What is known of one party at one moment, for screens and records."""

from __future__ import annotations

from typing import Literal

import msgspec

Health = Literal["starting", "ready", "hung", "lost", "restarting", "stopped"]


class PartyState(msgspec.Struct, kw_only=True):
    """One process of a fleet. Figures are its own (psutil, its wire); bytes are frames without TLS overhead.

    Attributes:
        role: the last word of the role's reference, such as `Layers`.
        pss_bytes: proportional set size: shared pages count by share; 0 until first measured.
        cpu_percent: of one core, over the last heartbeat.
        round_trips: by peer that it dialled, seconds of a round trip over the link with it (see `party/echo.py`); the
            other links are measured from their other end.
        note: why it is hung or lost.
    """

    variant: str
    backend: str
    name: str
    role: str
    trusted: bool
    pid: int = 0
    health: Health = "starting"
    cpu_seconds: float = 0.0
    cpu_percent: float = 0.0
    rss_bytes: int = 0
    pss_bytes: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    messages_in: int = 0
    messages_out: int = 0
    round_trips: dict[str, float] = {}
    restarts: int = 0
    note: str = ""
    log: str = ""
