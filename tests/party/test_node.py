"""`unfed-node`: one party from lines of JSON, and what it says to whoever does not speak them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from real_fleets import with_support

from unfed.console.party import control
from unfed.console.party.control import (
    Ask,
    Begin,
    Broken,
    Happened,
    Hello,
    Meet,
    Peer,
    Pinned,
    Ready,
    Report,
    Roster,
    Stop,
)
from unfed.plugins import Finished, PartySpec, Query

pytestmark = pytest.mark.slow

NODE = [sys.executable, "-m", "unfed.console.party.node"]
ENVIRONMENT = os.environ | {"PYTHONPATH": with_support()}


class Node:
    """A running `unfed-node` and the other ends of its stdin and stdout."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        assert process.stdin is not None and process.stdout is not None
        self._orders, self._reports = process.stdin, process.stdout

    def tell(self, order: control.Order) -> None:
        self._orders.write(msgspec.json.encode(order) + b"\n")

    async def hear(self, kind: type[Report]) -> Any:
        """The next report of a kind; heartbeats and others are passed over."""
        async with asyncio.timeout(20):
            while True:
                report = control.decode_report_line(await self._reports.readline())
                if isinstance(report, kind):
                    return report

    async def end(self) -> int:
        self._orders.close()
        return await asyncio.wait_for(self.process.wait(), 5)


@contextlib.asynccontextmanager
async def a_node(log: Path, *arguments: str) -> AsyncIterator[Node]:
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *NODE,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            env=ENVIRONMENT,
            limit=1 << 20,
        )
    try:
        yield Node(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_two_nodes_by_hand(tmp_path: Path) -> None:
    """What a launcher on another host does: begin, roster, meet, ask, stop, line by line."""
    async with a_node(tmp_path / "client.log") as client, a_node(tmp_path / "a.log") as node:
        members = {"client": client, "a": node}
        hellos: dict[str, Hello] = {}
        for name, role in (("client", "puppets:PuppetClient"), ("a", "puppets:Puppet")):
            members[name].tell(Begin(PartySpec(variant="by hand", name=name, role=role)))
        for name in members:
            hellos[name] = await members[name].hear(Hello)
            assert hellos[name].pid == members[name].process.pid
        for name, other in (("client", "a"), ("a", "client")):
            hello = hellos[other]
            peer = Peer(other, hello.host, hello.port, hello.channel_port, hello.certificate, dial=name == "client")
            members[name].tell(Roster((peer,), (other,)))
            await members[name].hear(Pinned)
        for member in members.values():
            member.tell(Meet())
        for member in members.values():
            assert (await member.hear(Ready)).seconds > 0
        prompt = json.dumps({"what": "acts:chatter", "path": ["a"], "args": {"words": "among the reports"}})
        client.tell(Ask(Query(id="q", prompt=prompt)))
        while not isinstance(event := (await client.hear(Happened)).event, Finished):
            pass
        assert json.loads(event.answer.text) == ""
        assert "among the reports" in (tmp_path / "a.log").read_text()
        client.tell(Stop())
        assert await asyncio.wait_for(client.process.wait(), 5) == 0
        assert await node.end() == 0


def run(data: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(NODE, input=data, capture_output=True, env=ENVIRONMENT, timeout=30)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{nonsense\n", "this is no order of a launcher"),
        (b"\xff\xfe\n", "this is no order of a launcher"),
        (b'{"type":"dance"}\n', "this is no order of a launcher"),
        (b'{"type":"begin"}\n', "this is no order of a launcher"),
        (b'{"type":"begin","spec":{"variant":"v","name":5,"role":"r"}}\n', "this is no order of a launcher"),
        (b"[1,2,3]\n", "this is no order of a launcher"),
        (b'{"type":"meet"}\n', "the first order must be 'begin', not 'meet'"),
        (b"", "stdin ended before there was an order"),
        (b"\n\n", "stdin ended before there was an order"),
    ],
)
def test_stdin_that_is_no_launcher(data: bytes, reason: str) -> None:
    done = run(data)
    assert done.returncode == 2
    said = done.stderr.decode()
    assert said.startswith("unfed-node: ") and reason in said and "docs/operate.md" in said
    assert len(said.splitlines()) == 1, said


def test_a_terminal_is_no_launcher() -> None:
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(NODE, stdin=theirs, capture_output=True, env=ENVIRONMENT, timeout=30)
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 2 and b"started by a launcher" in done.stderr


def test_no_stdin_at_all() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *NODE], capture_output=True, env=ENVIRONMENT, timeout=30
    )
    assert done.returncode == 2 and b"Traceback" not in done.stderr


def test_help_and_unknown_flags() -> None:
    done = subprocess.run([*NODE, "--help"], capture_output=True, env=ENVIRONMENT, timeout=30)
    assert done.returncode == 0 and b"read from stdin" in b" ".join(done.stdout.split())
    done = subprocess.run([*NODE, "--nonsense"], capture_output=True, env=ENVIRONMENT, timeout=30)
    assert done.returncode == 2


async def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with a_node(tmp_path / "log") as node:
            node.tell(Begin(PartySpec(variant="v", name="a", role="puppets:Puppet", port=port)))
            failure = (await node.hear(Broken)).failure
            assert (failure.kind, failure.party) == ("fleet", "a")
            assert failure.message == f"cannot listen on 127.0.0.1:{port}: Address already in use"
            assert failure.hint == "choose another port, or 0 for any"
            assert await node.end() == 1
        said = (tmp_path / "log").read_text()
        assert said == f"unfed-node: {failure.message}; {failure.hint}\n"
        # The same from a file: stdin ends at once.
        spec = PartySpec(variant="v", name="a", role="puppets:Puppet", port=port)
        done = run(msgspec.json.encode(Begin(spec)) + b"\n")
        assert (done.returncode, done.stderr.decode()) == (1, said)


@pytest.mark.parametrize(("listen", "port"), [("127.0.0.1", 70_000), ("256.1.1.1", 0), ("no.such.host.invalid", 0)])
async def test_an_address_that_is_none(tmp_path: Path, listen: str, port: int) -> None:
    async with a_node(tmp_path / "log") as node:
        node.tell(Begin(PartySpec(variant="v", name="a", role="puppets:Puppet", listen=listen, port=port)))
        failure = (await node.hear(Broken)).failure
        assert failure.kind == "fleet" and f"cannot listen on {listen}:{port}" in failure.message
        assert await node.end() == 1
    assert "Traceback" not in (tmp_path / "log").read_text()


async def test_a_port_of_ones_choice_and_another_protocol(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with a_node(tmp_path / "log") as node:
        node.tell(Begin(PartySpec(variant="v", name="a", role="puppets:Puppet", port=port)))
        assert (await node.hear(Hello)).port == port
    if socket.has_ipv6 and Path("/proc/net/if_inet6").exists() and Path("/proc/net/if_inet6").read_text():
        async with a_node(tmp_path / "log") as node:
            node.tell(Begin(PartySpec(variant="v", name="a", role="puppets:Puppet", listen="::1")))
            assert (await node.hear(Hello)).host == "::1"


async def test_an_interrupt_ends_it_quietly(tmp_path: Path) -> None:
    async with a_node(tmp_path / "log") as node:
        node.tell(Begin(PartySpec(variant="v", name="a", role="puppets:Puppet")))
        await node.hear(Hello)
        node.process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(node.process.wait(), 5) == 130
    assert "Traceback" not in (tmp_path / "log").read_text()
