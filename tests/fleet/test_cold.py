"""A whole fleet without a fork server: the same parties, cold, over JSON."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from puppets import plan
from real_fleets import act, alive, ask, began, pid_of, running, state_of, until, wish, with_support

from unfed.console.fleet import crew
from unfed.console.fleet.cold import ColdLauncher, ColdProcess
from unfed.console.fleet.fleet import Fleet
from unfed.plugins import Party, PartyProcess, PartySpec, UnfedError

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Fleet]:
    """client – a – b, b coming back when it dies"""
    monkeypatch.setenv("PYTHONPATH", with_support())
    launcher = ColdLauncher(tmp_path)
    parties = (Party("a", "puppets:Puppet", threads=2), Party("b", "puppets:Puppet", restart="on-failure"))
    async with running(launcher, plan(*parties), tmp_path, views=tmp_path / "views") as fleet:
        yield fleet
    await launcher.close()


async def test_a_cold_fleet_does_what_a_warm_one_does(fleet: Fleet, tmp_path: Path) -> None:
    assert await act(fleet, "acts:calls", "a", peer="b", count=20) == list(range(20))
    outcome = await ask(fleet, wish("rounds:both", "a", peer="b", sizes=[0, 100_000]))
    assert outcome.did == [0, 100_000]
    assert outcome.settlement.trace.messages == 4 + 4 + 1  # with the channel's opening
    assert sum(entries for _, entries, _ in outcome.settlement.views) == 4 + 4
    me = await act(fleet, "acts:about_me", "a")
    assert me["title"].endswith("/a") and me["threads"] == 2 and me["stdin"] == "/dev/null"
    assert Path(state_of(fleet, "a").log).stat().st_mode & 0o777 == 0o600
    failed = await ask(fleet, wish("acts:fail", "a", text="XYZZY"))
    assert failed.failure is not None and failed.failure.party == "a" and "XYZZY" not in str(failed.failure)


async def test_a_cold_party_that_dies_is_named_and_comes_back(fleet: Fleet) -> None:
    task = await began(fleet, wish("acts:linger_at", "a", peer="b", token=True))
    os.kill(pid_of(fleet, "b"), signal.SIGKILL)
    outcome = await asyncio.wait_for(task, 5)
    assert outcome.failure is not None and (outcome.failure.kind, outcome.failure.party) == ("party-lost", "b")
    assert await act(fleet, "acts:calls", "a", peer="b", count=2) == [0, 1]


async def test_a_malformed_line_fails_that_party(fleet: Fleet) -> None:
    outcome = await ask(fleet, wish("acts:misreport", "a", data=b"{nonsense\n".hex()))
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.party) == ("protocol", "a")


async def test_nothing_is_left(fleet: Fleet) -> None:
    pids = [state.pid for state in fleet.parties()]
    os.kill(pid_of(fleet, "a"), signal.SIGSTOP)
    await until(lambda: psutil.Process(pid_of(fleet, "a")).status() == psutil.STATUS_STOPPED)
    await fleet.stop()
    assert alive(pids) == []


async def test_its_heartbeats_tell_of_links(fleet: Fleet) -> None:
    await until(lambda: state_of(fleet, "client").round_trips.keys() == {"a"})
    await until(lambda: state_of(fleet, "a").round_trips.keys() == {"b"})


class Strange(ColdLauncher):
    """Starts something else that is no party at all."""

    command: tuple[str, ...] = ()

    async def launch(self, spec: PartySpec, log: Path) -> PartyProcess:
        pipe = asyncio.subprocess.PIPE
        with log.open("ab") as stderr:
            process = await asyncio.create_subprocess_exec(*self.command, stdin=pipe, stdout=pipe, stderr=stderr)
        self._processes.append(ColdProcess(process, log))
        return self._processes[-1]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("sleep", "60"), "it did not say hello within 0.5 s"),
        (("echo", "hello"), "what is no report"),
        (("sh", "-c", "echo out of memory >&2; exit 7"), "ended with status 7"),
        (("true",), "ended with status 0"),
    ],
)
async def test_a_process_that_is_no_party(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], reason: str
) -> None:
    monkeypatch.setattr(crew, "HELLO_WITHIN", 0.5)
    launcher = Strange(tmp_path)
    launcher.command = command
    with pytest.raises(UnfedError) as raised:
        async with running(launcher, plan("a"), tmp_path):
            pass
    failure = raised.value.failure
    assert failure.kind == "fleet" and failure.party in ("client", "a") and reason in failure.message
    if command[0] == "sh":
        assert "out of memory" in (failure.hint or "")
    assert alive([process.pid for process in launcher._processes]) == []


async def test_a_missing_module(tmp_path: Path) -> None:
    launcher = ColdLauncher(tmp_path)
    with pytest.raises(UnfedError) as raised:
        async with running(launcher, plan(Party("client", "no_such_module:Role")), tmp_path):
            pass
    assert (raised.value.failure.kind, raised.value.failure.hint) == ("unavailable", "pip install no_such_module")
    assert not [process for process in launcher._processes if process._process.returncode is None]
