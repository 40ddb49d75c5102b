"""Nothing survives the console, whatever state its parties are in, and whoever is killed first."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from puppets import plan
from real_fleets import (
    SUPPORT,
    a_launcher,
    act,
    alive,
    ask,
    began,
    pid_of,
    running,
    state_of,
    until,
    wish,
    with_support,
)

from unfed.console.fleet.cold import ColdLauncher
from unfed.console.fleet.process import LocalLauncher
from unfed.plugins import UnfedError

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


@contextlib.asynccontextmanager
async def a_console(folder: Path, *arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, list[int]]]:
    """A console in a session of its own, and the ids of its parties (and their server's, where there is one)."""
    console = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SUPPORT / "a_console.py"),
        str(folder),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": with_support()},
        start_new_session=True,
    )
    pids: list[int] = []
    try:
        assert console.stdout is not None
        line = await asyncio.wait_for(console.stdout.readline(), 60)
        pids = [int(each) for each in line.split()]
        assert alive(pids) == pids and len(pids) >= 3
        yield console, pids
    finally:
        with contextlib.suppress(ProcessLookupError):
            console.kill()
        await console.wait()
        for pid in alive(pids):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("launcher", ["local", "cold"])
async def test_a_console_that_is_killed_takes_its_parties_along(tmp_path: Path, launcher: str) -> None:
    """One party is idle, one is stopped, and one holds its interpreter's lock for a minute."""
    async with a_console(tmp_path, launcher, "stop:a", "hold:b") as (console, pids):
        console.kill()
        killed = time.monotonic()
        await console.wait()
        await until(lambda: not alive(pids), 3.0)
        assert time.monotonic() - killed < 3


async def test_a_console_and_its_server_that_are_killed_together(tmp_path: Path) -> None:
    async with a_console(tmp_path, "local", "stop:a", "hold:b") as (console, pids):
        for pid in (console.pid, pids[0]):
            os.kill(pid, signal.SIGKILL)
        await until(lambda: not alive(pids), 3.0)


async def test_a_server_that_is_stopped_ends_with_its_console(tmp_path: Path) -> None:
    async with a_console(tmp_path, "local") as (console, pids):
        os.kill(pids[0], signal.SIGSTOP)
        console.kill()
        await until(lambda: not alive(pids), 3.0)


async def test_a_ctrl_c_is_for_the_console_to_handle(tmp_path: Path) -> None:
    """An interrupt of its whole process group reaches no party: they work until the console has ended them."""
    async with a_console(tmp_path, "local", "interruptible") as (console, pids):
        os.killpg(os.getpgid(console.pid), signal.SIGINT)
        assert console.stdout is not None
        answer = await asyncio.wait_for(console.stdout.readline(), 10)
        assert answer.decode().split() == ["interrupted,", "and", "then:", "[0,", "1,", "2]"]
        assert await asyncio.wait_for(console.wait(), 10) == 130
        assert alive(pids) == []


async def test_two_consoles_do_not_disturb_each_other(tmp_path: Path) -> None:
    async with (
        a_console(tmp_path / "1", "local") as (one, ones),
        a_console(tmp_path / "2", "local", "interruptible") as (two, twos),
    ):
        one.kill()
        await one.wait()
        await until(lambda: not alive(ones), 3.0)
        assert alive(twos) == twos
        two.send_signal(signal.SIGINT)
        assert two.stdout is not None
        assert b"[0, 1, 2]" in await asyncio.wait_for(two.stdout.readline(), 10)


# -- the fork server alone


async def test_a_server_that_is_killed_takes_its_parties_along_and_the_fleet_says_so(tmp_path: Path) -> None:
    async with a_launcher(tmp_path) as launcher, running(launcher, plan("a", "b"), tmp_path) as fleet:
        pids = [state.pid for state in fleet.parties()]
        os.kill(pid_of(fleet, "b"), signal.SIGSTOP)
        task = await began(fleet, wish("acts:linger", token=True))
        assert launcher._server is not None
        killed = time.monotonic()
        launcher._server.kill()
        outcome = await asyncio.wait_for(task, 3)
        assert time.monotonic() - killed < 1
        assert outcome.failure is not None and outcome.failure.kind == "party-lost"
        assert "the fork server ended, and its children with it" in outcome.failure.message
        await until(lambda: not alive(pids), 3.0)
        await until(lambda: {state.health for state in fleet.parties()} == {"lost"})
        # Whoever goes on with this launcher gets a new server.
        async with running(launcher, plan("a"), tmp_path) as again:
            assert await act(again, "acts:calls", peer="a", count=1) == [0]


async def test_a_server_that_is_stopped_does_not_hold_anybody_up(tmp_path: Path) -> None:
    """It cannot tell of ends any more; they are noticed all the same, and everything can be stopped."""
    async with a_launcher(tmp_path) as launcher, running(launcher, plan("a"), tmp_path) as fleet:
        assert launcher._server is not None
        server, pids = launcher._server.pid, [state.pid for state in fleet.parties()]
        os.kill(server, signal.SIGSTOP)
        task = await began(fleet, wish("acts:linger", token=True))
        os.kill(pid_of(fleet, "a"), signal.SIGKILL)
        outcome = await asyncio.wait_for(task, 5)
        assert outcome.failure is not None
        assert (outcome.failure.kind, outcome.failure.party) == ("party-lost", "a")
        await asyncio.wait_for(fleet.stop(), 5)
        await asyncio.wait_for(launcher.close(), 10)
        assert alive([server, *pids]) == []


async def test_a_server_that_is_stopped_makes_no_process_and_the_start_says_so_soon(tmp_path: Path) -> None:
    async with a_launcher(tmp_path) as launcher:
        assert launcher._server is not None
        server = launcher._server.pid
        os.kill(server, signal.SIGSTOP)
        began_at = time.monotonic()
        with pytest.raises(UnfedError, match=f"process {server}.* is stopped") as raised:
            async with running(launcher, plan("a"), tmp_path):
                pass
        assert time.monotonic() - began_at < 5
        assert raised.value.failure.kind == "fleet" and f"kill -CONT {server}" in (raised.value.failure.hint or "")
        os.kill(server, signal.SIGCONT)
        async with running(launcher, plan("a"), tmp_path) as fleet:  # what was given up is not mistaken for ours
            assert await act(fleet, "acts:calls", peer="a", count=1) == [0]


async def test_a_server_that_does_not_come_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    launcher = LocalLauncher(tmp_path)
    with pytest.raises(UnfedError, match="the fork server cannot be started"):
        await launcher.start()
    (tmp_path / "no-python").write_text("#!/bin/sh\necho no python here >&2\nexit 1\n")
    (tmp_path / "no-python").chmod(0o755)
    with pytest.raises(UnfedError, match="the fork server ended") as raised:
        async with running(launcher, plan("a"), tmp_path):
            pass
    assert str(tmp_path / "fork-server.log") in (raised.value.failure.hint or "")
    assert "no python here" in (tmp_path / "fork-server.log").read_text()
    await launcher.close()


async def test_a_launch_that_is_given_up_before_the_server_is_warm(tmp_path: Path) -> None:
    launcher = LocalLauncher(tmp_path, preload=["torch"])
    await launcher.start()
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), running(launcher, plan("a"), tmp_path):
                pass
        assert launcher.warm is not None
        await launcher.warm
        assert launcher._server is not None
        server = psutil.Process(launcher._server.pid)
        await until(lambda: not server.children())
        assert launcher._processes == {} and launcher._early == {}
    finally:
        await launcher.close()


# -- what is left open


def fds() -> int:
    return psutil.Process().num_fds()


async def test_fifty_queries_leave_nothing_open(launcher: LocalLauncher, tmp_path: Path) -> None:
    async with running(launcher, plan("a", "b"), tmp_path) as fleet:

        async def fifty() -> list[int]:
            for number in range(50):
                await ask(fleet, wish("rounds:both", "a", peer="b", sizes=[number]))
            return [fds(), *[await act(fleet, "acts:open_files", *path) for path in ([], ["a"], ["a", "b"])]]

        first = await fifty()
        assert max(b - a for a, b in zip(first, await fifty(), strict=True)) <= 2
        for state in fleet.parties():
            assert state.health == "ready"


async def test_fleets_leave_nothing_open(launcher: LocalLauncher, tmp_path: Path) -> None:
    async def one() -> None:
        async with running(launcher, plan("a"), tmp_path) as fleet:
            await act(fleet, "acts:calls", peer="a", count=1)

    await one()
    assert launcher._server is not None
    server = psutil.Process(launcher._server.pid)
    before = (fds(), server.num_fds())
    for _ in range(5):
        await one()
    await until(lambda: (fds(), server.num_fds()) <= before)
    assert launcher._processes == {} and launcher._early == {} and not server.children()


async def test_cold_fleets_leave_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", with_support())
    launcher = ColdLauncher(tmp_path)
    before = []
    for _ in range(3):
        async with running(launcher, plan("a"), tmp_path) as fleet:
            assert await act(fleet, "acts:calls", peer="a", count=1) == [0]
            assert state_of(fleet, "a").health == "ready"
        before.append(fds())
        await until(lambda: fds() <= before[0])
