"""Views: each party's holds exactly what it received and held, and nobody else may read it."""

from __future__ import annotations

import stat
from collections import Counter
from pathlib import Path

import pytest
import torch
from puppets import plan
from real_fleets import act, ask, running, wish

from unfed.console.fleet.process import LocalLauncher
from unfed.console.party import frames
from unfed.console.party.context import PartyContext
from unfed.console.party.frames import CALL, REPLY, ROUND, Frame, Header
from unfed.console.party.tape import Tape
from unfed.plugins import UnfedError, View

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


def received(view: View, query: str) -> Counter[tuple[str, str, int]]:
    return Counter((entry.sender, entry.name, _header(entry.frame).kind) for entry in view.messages(query))


def _header(frame: bytes) -> Header:
    return frames._decode(frame[4:])


async def test_views_hold_what_was_received_and_held(launcher: LocalLauncher, tmp_path: Path) -> None:
    async with running(launcher, plan("a", "b"), tmp_path, views=tmp_path / "audit" / "views") as fleet:
        one = await ask(fleet, wish("acts:nothing", "a", "b"))
        two = await ask(fleet, wish("rounds:both", "a", peer="b", sizes=[5, 70_000]))
        three = await ask(fleet, wish("acts:hold", "a", name="cache", value=2.5))
        views = {view.party: view for view, _, _ in one.settlement.views}
        assert sorted(path.name for path in (tmp_path / "audit" / "views").iterdir()) == [
            "a.view",
            "b.view",
            "client.view",
        ]

        assert received(views["client"], one.query) == {("a", "act", REPLY): 1}
        assert received(views["a"], one.query) == {("client", "act", CALL): 1, ("b", "act", REPLY): 1}
        assert received(views["b"], one.query) == {("a", "act", CALL): 1}

        assert received(views["a"], two.query) == {
            ("client", "act", CALL): 1,
            ("b", "rounds", ROUND): 2,
            ("b", "act", REPLY): 1,
        }
        assert received(views["b"], two.query) == {("a", "act", CALL): 1, ("a", "rounds", ROUND): 2}
        (_, large) = [entry for entry in views["b"].messages(two.query) if entry.name == "rounds"]
        assert large.arrays["data"].dtype == "uint8" and large.arrays["data"].shape == (70_000,)
        assert set(large.arrays["data"].data) == {1} and large.fields == {"seed": 1}
        assert _header(large.frame).fields == {"seed": 1}

        held = [entry for entry in views["a"] if entry.kind == "held"]
        assert [(entry.name, entry.query, entry.fields) for entry in held] == [("cache", three.query, {"number": 2.5})]
        assert held[0].arrays["tensor"].numpy().tolist() == [2.5] * 3

        for outcome in (one, two, three):
            for view, entries, size in outcome.settlement.views:
                mine = [entry for entry in view if entry.query == outcome.query]
                assert len(mine) == entries
                assert sum(len(entry.frame) + sum(len(a.data) for a in entry.arrays.values()) for entry in mine) == size


async def test_only_its_owner_reads_a_view(launcher: LocalLauncher, tmp_path: Path) -> None:
    async with running(launcher, plan("a"), tmp_path, views=tmp_path / "views") as fleet:
        await ask(fleet, wish("acts:nothing", "a"))
        assert stat.S_IMODE((tmp_path / "views").stat().st_mode) == 0o700
        for path in (tmp_path / "views").iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_view_cut_short_can_still_be_read(launcher: LocalLauncher, tmp_path: Path) -> None:
    async with running(launcher, plan("a"), tmp_path, views=tmp_path / "views") as fleet:
        for _ in range(3):
            await ask(fleet, wish("acts:nothing", "a"))
    whole = (tmp_path / "views" / "a.view").read_bytes()
    entries = list(View("a", tmp_path / "views" / "a.view"))
    assert len(entries) == 3
    for cut in range(len(whole)):
        (tmp_path / "cut").write_bytes(whole[:cut])
        found = list(View("a", tmp_path / "cut"))
        assert found == entries[: len(found)] and len(found) < 3


async def test_a_view_that_cannot_be_written_fails_the_start(launcher: LocalLauncher, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UnfedError, match="cannot write the view") as raised:
        async with running(launcher, plan("a"), tmp_path, views=tmp_path / "file" / "views"):
            pass
    assert raised.value.failure.kind == "fleet"


@pytest.mark.parametrize("party", ["a", "client"])
async def test_a_full_disk_fails_the_query_and_names_the_view_and_its_party(
    launcher: LocalLauncher, tmp_path: Path, party: str
) -> None:
    view = tmp_path / "views" / f"{party}.view"
    view.parent.mkdir(mode=0o700)
    view.symlink_to("/dev/full")
    async with running(launcher, plan("a"), tmp_path, views=view.parent) as fleet:
        for prompt in (
            wish("acts:calls", peer="a", count=2),
            *([wish("acts:fail_by_message", peer="a")] if party == "a" else []),
            wish("acts:hold", *([] if party == "client" else ["a"]), name="cache", value=1.0),
            wish("rounds:both", peer="a", sizes=[5]),
        ):
            outcome = await ask(fleet, prompt)
            failure = outcome.failure
            assert failure is not None and outcome.seconds < 5, outcome.events
            assert (failure.kind, failure.party) == ("fleet", party)
            assert failure.message == f"cannot write the view {view}: No space left on device"
            assert "--audit" in (failure.hint or "")
        assert all(state.health == "ready" for state in fleet.parties())


async def test_without_audit_there_is_no_tape(launcher: LocalLauncher, tmp_path: Path) -> None:
    async with running(launcher, plan("a"), tmp_path) as fleet:
        outcome = await ask(fleet, wish("acts:hold", "a", name="cache", value=1.0))
        assert outcome.failure is None and outcome.settlement.views == []
        files = [name for name in (await act(fleet, "acts:about_me", "a"))["files"] if name.endswith(".view")]
        assert files == []
    assert list(tmp_path.rglob("*.view")) == []


async def test_holding_without_a_tape_touches_nothing() -> None:
    """A value that cannot even be packed shows that nobody looks at it."""

    class Untouchable:
        def __getattribute__(self, name: str) -> object:
            raise AssertionError("somebody looked")

    context = PartyContext.__new__(PartyContext)
    context._tape = None
    context.hold("cache", value=Untouchable())


async def test_a_tape_keeps_copies(tmp_path: Path) -> None:
    tape = Tape(tmp_path / "x.view", "x")
    tensor = torch.ones(4)
    tape.held("weights", "q", {"w": tensor})
    body = bytearray(b"".join(bytes(piece) for piece in frames.encode(Header(CALL, 1, "m", "q")))[4:])
    frame = frames.decode(body)
    tape.message("a", Frame(frame.header, frame.arrays, frame.body, frame.size))
    tensor.zero_()
    body[:] = bytes(len(body))
    assert tape.settle("q")[0] == 2 and tape.settle("q") == (0, 0)
    held, message = View("x", tmp_path / "x.view")
    assert held.arrays["w"].numpy().tolist() == [1.0] * 4
    assert _header(message.frame).name == "m"


async def test_whoever_takes_the_place_of_one_that_was_killed_goes_on_in_its_view(tmp_path: Path) -> None:
    path = tmp_path / "a.view"
    Tape(path, "a").held("first", "q", {"number": 1})
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:-3])  # killed in the middle of the second
    Tape(path, "a").held("third", "q", {"number": 3})
    assert [entry.name for entry in View("a", path)] == ["first", "third"]
    path.write_bytes(path.read_bytes() + b"\x01\x00")  # and in the middle of a length
    Tape(path, "a").held("fourth", "q", {})
    assert [entry.name for entry in View("a", path)] == ["first", "third", "fourth"]
