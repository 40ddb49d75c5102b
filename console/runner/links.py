"""Link profiles: how far apart the parties are, by name or by numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from unfed.plugins import Emulation, UnfedError
from unfed.plugins.options import nearest

MBIT = 1e6 / 8
"""Bytes per second of one megabit per second."""

LINKS: Mapping[str, Emulation] = {
    "none": Emulation(),
    "lan": Emulation(delay=0.00025, bandwidth=1000 * MBIT),
    "metro": Emulation(delay=0.0025, bandwidth=400 * MBIT),
    "wan": Emulation(delay=0.020, bandwidth=100 * MBIT),
}
"""Name → one-way delay and bandwidth of every link. `none` leaves the loopback as it is."""

ABOUT = {
    "none": "the loopback as it is",
    "lan": "one room: 0.25 ms one way, 1 Gbit/s",
    "metro": "one city: 5 ms there and back, 400 Mbit/s",
    "wan": "one continent: 40 ms there and back, 100 Mbit/s",
}

_DELAY = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(us|ms|s)")
_BANDWIDTH = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(k|m|g)bit(?:/s|ps)?")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_BITS = {"k": 1e3, "m": 1e6, "g": 1e9}
_MAX_DELAY = 60.0


def read_links(text: str, own: Mapping[str, Emulation] | None = None) -> tuple[str | None, Emulation]:
    """The name that stands in the record (None: no emulation) and what it means.

    Args:
        text: a profile's name, or numbers such as `10ms`, `50mbit` or `10ms,50mbit` (one-way delay, bandwidth).
        own: link profiles that the run's profile brings.
    Raises:
        UnfedError: neither a known name nor numbers.
    """
    known = {**LINKS, **(own or {})}
    name = text.strip()
    if name in known:
        return (None if known[name] == Emulation() else name), known[name]
    delay: float | None = None
    bandwidth: float | None = None
    for part in name.lower().replace(" ", "").split(","):
        if (found := _DELAY.fullmatch(part)) and delay is None:
            delay = float(found[1]) * _SECONDS[found[2]]
        elif (found := _BANDWIDTH.fullmatch(part)) and bandwidth is None:
            bandwidth = float(found[1]) * _BITS[found[2]] / 8
        elif any(character.isdigit() for character in name):
            raise UnfedError(
                f"links {text!r} are not understood", hint="write them like 10ms,50mbit (one-way delay, bandwidth)"
            )
        else:
            raise UnfedError(
                f"there is no link profile {text!r}", hint=f"{nearest(name, known)} or numbers like 10ms,50mbit"
            )
    return name.lower().replace(" ", ""), emulation(delay or 0.0, bandwidth, text)


def emulation(delay: float, bandwidth: float | None, where: str) -> Emulation:
    """A checked emulation: `delay` in seconds one way, `bandwidth` in bytes per second (None: as fast as it goes).

    Raises:
        UnfedError: a delay or bandwidth that no link has.
    """
    if not 0 <= delay <= _MAX_DELAY:
        raise UnfedError(f"links {where!r}: a delay of {delay:g} s", hint=f"0 to {_MAX_DELAY:g} s")
    if bandwidth is not None and not (bandwidth >= 125 and math.isfinite(bandwidth)):
        raise UnfedError(
            f"links {where!r}: the bandwidth is too small", hint="at least 1 kbit; leave it out for no limit"
        )
    return Emulation(delay=delay, bandwidth=bandwidth or 0.0)
