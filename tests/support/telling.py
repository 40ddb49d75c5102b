"""Parties of `unfed` that tell what they still keep, when a query whose id begins so is settled."""

from __future__ import annotations

import gc
import json
import logging
import sys
from collections import Counter
from itertools import count
from typing import Any

from real_fleets import log_of

from unfed.backends.mpc.transformer.dealing import DealtSession
from unfed.backends.mpc.transformer.running import RunSession
from unfed.backends.unfed.circuits.hop import Hop, Passage
from unfed.backends.unfed.mpc_layers.dealer import Dealer
from unfed.backends.unfed.mpc_layers.entry import LayersEntry
from unfed.backends.unfed.mpc_layers.first import Continuing
from unfed.backends.unfed.nodes.layers import Onward
from unfed.console.fleet.fleet import Fleet
from unfed.console.party.channel import BlockingChannel
from unfed.console.party.door import Door
from unfed.plugins import Role

log = logging.getLogger("unfed.tests")

TELL = "tell"
ROLES = {
    name: f"telling:{role}"
    for name, role in {
        "guard": "Relay",
        "entry_0": "Entry",
        "entry_1": "Entry",
        "dealer": "Dealing",
        "layers_0": "First",
    }.items()
}
_OF_SESSIONS = frozenset({DealtSession, RunSession, Passage, Onward, BlockingChannel})
_BLOCKING = frozenset({*vars(BlockingChannel).values(), *vars(Door).values()})
_numbers = count()


async def kept(fleet: Fleet) -> dict[str, dict[str, int]]:
    """By party, what it keeps of sessions: objects by their type, threads that wait, channels that nobody took."""
    query = f"{TELL}{next(_numbers)}"
    await fleet.settle(query)
    found = {}
    for name in fleet.plan.processes():
        for line in log_of(fleet, name).splitlines():
            if f"{query} kept " in line:
                found[name] = json.loads(line.partition(" kept ")[2])
    return found


class _Telling(Role):
    async def forget(self, query: str) -> None:
        await super().forget(query)
        if query.startswith(TELL):
            gc.collect()
            found = Counter(type(each).__name__ for each in gc.get_objects() if type(each) in _OF_SESSIONS)
            found["threads"] = sum(_blocks(frame) for frame in sys._current_frames().values())
            found["untaken"] = sum(map(len, self.ctx._door._arrived.values()))  # type: ignore[attr-defined]
            log.warning("%s kept %s", query, json.dumps(+found))


def _blocks(frame: Any) -> bool:
    """Whether a thread is at work on a channel."""
    codes = {getattr(each, "__code__", None) for each in _BLOCKING}
    while frame is not None:
        if frame.f_code in codes:
            return True
        frame = frame.f_back
    return False


class Relay(_Telling, Hop):
    pass


class Entry(_Telling, LayersEntry):
    pass


class Dealing(_Telling, Dealer):
    pass


class First(_Telling, Continuing):
    pass
