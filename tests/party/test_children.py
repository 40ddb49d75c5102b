"""Processes forked from one server: each is its own, in its numbers, keys, threads, title and files."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from puppets import plan
from real_fleets import act, running, until

from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.plugins import Link, Party

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

NAMES = ("client", "a", "b", "c.0", "c.1")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fleet(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    parties = (
        Party("a", "puppets:Puppet", threads=2),
        Party("b", "puppets:Puppet"),
        Party("c", "puppets:Puppet", replicas=2),
    )
    links = tuple(Link("client", name) for name in "abc")
    async with running(
        launcher, plan(*parties, links=links), tmp_path_factory.mktemp("children"), variant="sweep[shards=2]"
    ) as fleet:
        yield fleet


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def selves(fleet: Fleet) -> dict[str, dict[str, Any]]:
    """What each process says of itself."""
    return {name: await act(fleet, "acts:about_me", *([] if name == "client" else [name])) for name in NAMES}


async def test_the_processes_are_those_of_the_plan(fleet: Fleet, selves: dict[str, dict[str, Any]]) -> None:
    assert fleet.plan.processes() == NAMES
    assert {state.name: state.pid for state in fleet.parties()} == {name: me["pid"] for name, me in selves.items()}


@pytest.mark.parametrize("what", ["random", "numpy", "torch", "uuid", "secrets", "certificate"])
async def test_siblings_draw_different_numbers(selves: dict[str, dict[str, Any]], what: str) -> None:
    assert len({me[what] for me in selves.values()}) == len(NAMES)


async def test_threads_are_those_of_the_plan(selves: dict[str, dict[str, Any]]) -> None:
    assert {name: me["threads"] for name, me in selves.items()} == {"client": 1, "a": 2, "b": 1, "c.0": 1, "c.1": 1}


async def test_titles_say_who_it_is(selves: dict[str, dict[str, Any]]) -> None:
    for name, me in selves.items():
        assert me["title"] == f"unfed sweep[shards=2]/{name}"
        assert Path(f"/proc/{me['pid']}/cmdline").read_bytes().rstrip(b"\0").decode() == me["title"]


async def test_nobody_shares_a_stdin_or_a_socket(selves: dict[str, dict[str, Any]]) -> None:
    assert {me["stdin"] for me in selves.values()} == {"/dev/null"}
    sockets = [socket for me in selves.values() for socket in me["sockets"]]
    assert len(sockets) == len(set(sockets))
    assert all(len(me["sockets"]) >= 3 for me in selves.values())  # control, and two ports: or nothing was shown


async def test_each_writes_its_own_log(fleet: Fleet, selves: dict[str, dict[str, Any]]) -> None:
    logs = {state.name: state.log for state in fleet.parties()}
    assert len(set(logs.values())) == len(NAMES)
    for name, me in selves.items():
        assert [file for file in me["files"] if file.endswith(".log")] == [logs[name]] * 2
        assert Path(logs[name]).stat().st_mode & 0o777 == 0o600


async def test_private_keys_are_on_no_disk(selves: dict[str, dict[str, Any]]) -> None:
    """Nothing but pipes, sockets, logs and devices is open once a key was made, and no file that was deleted."""
    for me in selves.values():
        for file in me["files"]:
            assert file.startswith(("socket:", "anon_inode:", "pipe:", "/dev/")) or file.endswith(".log"), file


async def test_a_ctrl_c_in_the_terminal_is_not_for_parties(selves: dict[str, dict[str, Any]]) -> None:
    assert {me["sigint"] for me in selves.values()} == {"SIG_IGN"}
    console = os.getpgid(0)
    assert all(os.getpgid(me["pid"]) != console for me in selves.values())


async def test_figures_are_streamed(fleet: Fleet, selves: dict[str, dict[str, Any]]) -> None:
    """They come with heartbeats: all that `selves` took to ask has been counted after the next one."""
    await until(lambda: all(state.bytes_in and state.messages_out and state.pss_bytes for state in fleet.parties()))
    for state in fleet.parties():
        process = psutil.Process(state.pid)
        assert state.pss_bytes < state.rss_bytes < 2 * process.memory_info().rss
