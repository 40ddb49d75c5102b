"""Ways through a fleet whose hops come and go: what is missing for a moment is nobody's fault."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from unfed.backends.unfed.circuits.hop import announcement
from unfed.backends.unfed.client import ways
from unfed.backends.unfed.client.ways import Ways
from unfed.console.party.identity import Identity
from unfed.plugins import Context, Failure, UnfedError

HOPS = ("guard", "entry-0", "entry-1", "layers-0.0", "layers-0.1")
GONE = Failure(kind="party-lost", message="it was killed")


class Directory:
    """A context whose guard tells keys; those in `missing` are left out so many times."""

    def __init__(self, missing: dict[str, int] | None = None) -> None:
        self.missing, self.asked = dict(missing or {}), 0
        self.known = {name: Identity(name) for name in HOPS}

    def certificate(self, name: str) -> str:
        return self.known[name].certificate

    async def call(self, peer: str, method: str) -> Any:
        assert (peer, method) == ("guard", "directory")
        self.asked += 1
        told = {}
        for name, identity in self.known.items():
            if self.missing.get(name, 0) > 0:
                self.missing[name] -= 1
            else:
                key = name.encode().ljust(32)
                told[name] = [key, identity.sign(announcement(key))]
        return told


def made(directory: Directory, beside: tuple[str, ...] = ()) -> Ways:
    entries = [["guard", "entry-0"], ["guard", "entry-1"]]
    nodes = [["layers-0.0", "layers-0.1"]]
    return Ways(cast("Context", directory), entries, ["guard"], [], nodes, lambda name: None, beside)


async def test_a_key_that_is_missing_for_a_moment_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a hop has died and this was not told yet; the query must not fail of it, nor the hop be blamed."""
    monkeypatch.setattr(ways, "_PAUSE", 0.0)
    directory = Directory({"entry-1": 3})
    way = await made(directory).way()
    assert directory.asked == 4 and way.route[0] in ("layers-0.0", "layers-0.1")


async def test_one_that_stays_missing_ends_it_without_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "_PAUSE", 0.0)
    with pytest.raises(UnfedError, match="cannot be had: the directory has no key of entry-1") as caught:
        await made(Directory({"entry-1": 1000})).way()
    assert caught.value.failure.kind == "timeout", "a kind of error that nobody is caught for"


async def test_the_key_of_a_process_that_was_replaced_is_asked_for_anew() -> None:
    directory = Directory()
    found = made(directory)
    await found.learn()
    await found.way()
    assert directory.asked == 1
    directory.known["entry-0"] = Identity("entry-0")
    await found.way()
    assert directory.asked == 2


async def test_the_lost_are_passed_over() -> None:
    found = made(Directory())
    found.lost("layers-0.0", GONE)
    for _ in range(5):
        assert (await found.way()).route == ("layers-0.1",)
    found.returned("layers-0.0")
    found.lost("layers-0.1", GONE)
    assert (await found.way()).route == ("layers-0.0",)


async def test_whoever_works_beside_the_way_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key, for it is no hop; the way is lost with it, too."""
    monkeypatch.setattr(ways, "WAIT", 0.2)
    found = made(Directory(), ("dealer",))
    assert "dealer" in (await found.way()).parties
    found.lost("dealer", GONE)
    with pytest.raises(UnfedError, match="did not come back within") as caught:
        await found.way()
    assert (caught.value.failure.kind, caught.value.failure.party) == ("party-lost", "dealer")
    waiting = asyncio.create_task(found.way())
    await asyncio.sleep(0)
    found.returned("dealer")
    assert (await waiting).beside == ("dealer",)
