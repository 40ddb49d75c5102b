"""Counts of a query against what is known of its messages: number, bytes, and the longest chain of dependent ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from puppets import plan
from real_fleets import Outcome, act, ask, running, wish

from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.console.party import frames
from unfed.console.party.frames import CALL, REPLY, TELL, Header
from unfed.plugins import Link

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

STAR = tuple(Link("client", name) for name in ("a", "b", "c"))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def star(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    async with running(launcher, plan("a", "b", "c", links=STAR), tmp_path_factory.mktemp("star")) as fleet:
        yield fleet


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def row(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """client – a – b – c"""
    async with running(launcher, plan("a", "b", "c"), tmp_path_factory.mktemp("row")) as fleet:
        yield fleet


def sent(outcome: Outcome) -> dict[tuple[str, str], tuple[int, int]]:
    return {(link.source, link.target): (link.messages, link.bytes) for link in outcome.settlement.trace.links}


def size(*header: object, **fields: object) -> int:
    """Bytes of a frame with this header and these fields."""
    plain, about, data = frames.pack(dict(fields))
    kind, number, name, query, depth = header
    made = Header(kind, number, name, query, depth, fields=plain, arrays=tuple(about))  # type: ignore[arg-type]
    return sum(memoryview(piece).nbytes for piece in frames.encode(made, data))


async def test_messages_and_bytes_are_those_of_the_frames(star: Fleet) -> None:
    before = star._members["client"].hello.result()
    outcome = await ask(star, wish("acts:fan_out", peers=["a", "b"]))
    number = await act(star, "acts:last_call", peer="a")
    assert before == star._members["client"].hello.result()
    q = outcome.query
    call, reply = size(CALL, number, "echo", q, 1, value=1), size(REPLY, number, "echo", q, 2, value=1)
    assert sent(outcome) == {
        ("client", "a"): (1, call),
        ("client", "b"): (1, call),
        ("a", "client"): (1, reply),
        ("b", "client"): (1, reply),
    }


async def test_messages_without_replies(star: Fleet) -> None:
    outcome = await ask(star, wish("acts:tells", peer="c", count=5, key="k"))
    each = [size(TELL, 0, "note", outcome.query, 1, key="k", value=number) for number in range(5)]
    assert sent(outcome) == {("client", "c"): (5, sum(each))}


async def test_calls_side_by_side_are_one_round_trip(star: Fleet) -> None:
    assert (await ask(star, wish("acts:fan_out", peers=["a", "b", "c"]))).settlement.trace.rounds == 2


async def test_calls_one_after_the_other_add_up(star: Fleet) -> None:
    assert (await ask(star, wish("acts:in_turn", peers=["a", "b", "c"]))).settlement.trace.rounds == 6


async def test_a_chain_of_calls_there_and_back(row: Fleet) -> None:
    assert (await ask(row, wish("acts:nothing", "a", "b", "c"))).settlement.trace.rounds == 6


async def test_a_chain_of_messages(row: Fleet) -> None:
    """Down to c; then the client asks c's neighbours for the news of it, on top of what it knows itself (nothing)."""
    outcome = await ask(row, wish("acts:tell_along_and_wait", path=["a", "b", "c"]))
    links = sent(outcome)
    assert {link: count for link, (count, _) in links.items()} == {
        ("client", "a"): 1,
        ("a", "b"): 1,
        ("b", "c"): 1,
        ("c", "b"): 1,
        ("b", "a"): 1,
        ("a", "client"): 1,
    }
    assert outcome.settlement.trace.rounds == 6


async def test_queries_are_counted_apart_and_setup_counts_for_none(row: Fleet) -> None:
    first, second = [await ask(row, wish("acts:nothing", "a")) for _ in range(2)]
    assert {link: n for link, (n, _) in sent(first).items()} == {("client", "a"): 1, ("a", "client"): 1}
    assert sent(first).keys() == sent(second).keys()


async def test_private_ids(launcher: LocalLauncher, tmp_path: Path) -> None:
    """No frame tells which query it belongs to; all is counted for the one that is settled, and depth goes on."""
    async with running(launcher, plan("a", "b", private_ids=True), tmp_path, views=tmp_path / "views") as fleet:
        for _ in range(2):
            outcome = await ask(fleet, wish("acts:contribute", "a", "b", peers=[]))
            links = {link: count for link, (count, _) in sent(outcome).items()}
            assert links == {("client", "a"): 1, ("a", "b"): 1, ("b", "a"): 1, ("a", "client"): 1}
            assert outcome.settlement.trace.rounds == 4
            assert {each.party: each.amounts for each in outcome.settlement.contributions} == {
                "a": {},
                "b": {"layer_tokens": 2},
            }
            assert {view.party: entries for view, entries, _ in outcome.settlement.views} == {
                "client": 1,
                "a": 2,
                "b": 1,
            }
            for view, _, _ in outcome.settlement.views:
                for entry in view:
                    assert entry.query == "" and outcome.query.encode() not in entry.frame
        outcome = await ask(fleet, wish("rounds:both", peer="a", sizes=[10, 10]))
        assert outcome.did == [10, 10]
        assert {view.party: entries for view, entries, _ in outcome.settlement.views} == {"client": 3, "a": 3, "b": 0}
        for view, _, _ in outcome.settlement.views:
            assert not any(outcome.query.encode() in entry.frame for entry in view)
