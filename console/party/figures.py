"""This process's own figures, for its heartbeat."""

from __future__ import annotations

import time

import psutil

from .control import Beat
from .echoes import Echoes
from .meter import Meter

_PSS_EVERY, _PSS_FIRST = 8, 1
"""Beats between two readings of the proportional set size, which walks the page tables; not while starting up."""


class Figures:
    """CPU, memory and traffic of this process, and the latency of its links."""

    def __init__(self, meter: Meter, echoes: Echoes) -> None:
        self._meter, self._echoes = meter, echoes
        self._process = psutil.Process()
        self._pss = 0
        self._beats = 0
        self._last = (time.monotonic(), self._cpu())

    def beat(self) -> Beat:
        now, cpu = time.monotonic(), self._cpu()
        before, before_cpu = self._last
        self._last = (now, cpu)
        if self._beats % _PSS_EVERY == _PSS_FIRST:
            self._pss = self._process.memory_full_info().pss
        self._beats += 1
        return Beat(
            cpu_seconds=cpu,
            cpu_percent=100 * (cpu - before_cpu) / max(now - before, 1e-6),
            rss_bytes=self._process.memory_info().rss,
            pss_bytes=self._pss,
            bytes_in=self._meter.bytes_in,
            bytes_out=self._meter.bytes_out,
            messages_in=self._meter.messages_in,
            messages_out=self._meter.messages_out,
            round_trips=self._echoes.round_trips,
        )

    def _cpu(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)
