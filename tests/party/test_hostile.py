"""What a malicious peer or a stranger can send, and what comes of it: that connection ends, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import tempfile
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID
from puppets import plan
from real_fleets import Outcome, act, ask, log_of, running, until, wish

from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.member import peer_of
from unfed.console.fleet.process import LocalLauncher
from unfed.console.party import frames
from unfed.console.party.control import Hello, Roster
from unfed.console.party.frames import CALL, ECHO, ECHOED, FAULT, OPEN, REPLY, ROUND, TELL, Header
from unfed.console.party.identity import Identity
from unfed.plugins import Link

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]

NO_PEER = "a key that no peer of this party has"
STAR = (Link("client", "a"), Link("a", "b"), Link("a", "c"), Link("b", "c"))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fleet(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """client – a, and a triangle a – b – c; b is the one that misbehaves, towards c or a"""
    async with running(launcher, plan("a", "b", "c", links=STAR), tmp_path_factory.mktemp("hostile")) as fleet:
        yield fleet


SPOILED = {
    "an oversized frame": ("ffffffff", "announced"),
    "a frame shorter than a header": ("00000000", "announced"),
    "a header beyond its frame": ("08000000ffff000000000000", "a header of 65535 bytes"),
    "no header": ("0800000004000000ffffffff", "not a header"),
    "an unknown kind": ("0a00000003000000921a00ffffff", "not a header"),
}


@pytest.mark.parametrize("what", SPOILED)
@pytest.mark.parametrize("victim", ["a", "c"])
async def test_bytes_that_are_no_frame(fleet: Fleet, what: str, victim: str) -> None:
    data, reason = SPOILED[what]
    await _ends_alone(fleet, wish("acts:spoil", "a", "b", peer=victim, data=data, wait=True), victim, reason)


SAID: dict[str, tuple[list[Any], dict[str, Any], str]] = {
    "an unknown method": ([CALL, 9, "no_such_method"], {}, "no method 'no_such_method'"),
    "a method that is not served": ([CALL, 9, "forget"], {"query": "x"}, "no method 'forget'"),
    "a field of the wrong type": ([CALL, 9, "number"], {"value": "one"}, "the field 'value'"),
    "a tensor where a number should be": ([CALL, 9, "number"], {"value": np.zeros(1)}, "not a tensor"),
    "a missing field": ([CALL, 9, "number"], {}, "the field 'value' is missing"),
    "a field too many": ([CALL, 9, "number"], {"value": 1, "sender": "client"}, "there is no field 'sender'"),
    "a message with a missing field": ([TELL, 0, "note"], {"key": "k"}, "the field 'value' is missing"),
    "a reply to a call that was never made": ([REPLY, 10**6, ""], {"": 1}, "which it was not asked"),
    "a fault without a failure": ([FAULT, 1, ""], {}, "only calls and replies belong"),
    "a channel's opening": ([OPEN, 0, "rounds"], {}, "only calls and replies belong"),
    "a channel's message": ([ROUND, 1, "rounds"], {}, "only calls and replies belong"),
    "an echo of a query": ([ECHO, 1 << 47, ""], {}, "more than a number"),
    "an echo's answer that brings something": ([ECHOED, 1 << 47, ""], {"value": 1}, "more than a number"),
}


@pytest.mark.parametrize("what", SAID)
async def test_frames_that_do_not_fit(fleet: Fleet, what: str) -> None:
    header, fields, reason = SAID[what]
    await _ends_alone(fleet, _say(header, fields), "c", reason)


def _say(header: list[Any], fields: dict[str, Any]) -> str:
    if any(hasattr(value, "dtype") for value in fields.values()):
        return wish("acts:say_tensor", "a", "b", peer="c", header=header)
    return wish("acts:say", "a", "b", peer="c", header=header, fields=fields)


async def _ends_alone(fleet: Fleet, prompt: str, victim: str, reason: str) -> Outcome:
    """The query that b spoils fails, naming b and why; one over other links goes on; every link is used again."""
    other = asyncio.create_task(ask(fleet, wish("acts:wait_for", "a", key=prompt)))
    outcome = await ask(fleet, prompt)
    failure = outcome.failure
    assert failure is not None, outcome.events
    assert (failure.kind, failure.party) == ("protocol", "b"), failure
    assert reason in failure.message
    assert outcome.seconds < 2
    assert f"refused b: {failure.message}" in log_of(fleet, victim)
    await act(fleet, "acts:release", "a", key=prompt)
    assert (await other).did == "released"
    for path, peer in ((["a", "b"], "c"), (["a", "c"], "b"), (["a"], "b"), ([], "a")):
        assert await act(fleet, "acts:calls", *path, peer=peer, count=3) == [0, 1, 2]
    assert all(state.health == "ready" for state in fleet.parties())
    return outcome


@pytest.mark.parametrize(
    ("kind", "count", "victim", "reason"),
    [
        (ECHO, 9, "c", "more than 8 echoes within 2 s"),
        (ECHO, 1, "a", "not its to ask over"),
        (ECHOED, 1, "a", "an echo that it was not asked"),
        (ECHOED, 1, "c", "an echo that it was not asked"),
    ],
)
async def test_echoes_that_should_not_come(fleet: Fleet, kind: int, count: int, victim: str, reason: str) -> None:
    """b is dialled by a and dials c, so that it is asked by a and may ask c."""
    await _ends_alone(fleet, wish("acts:echoes", "a", "b", peer=victim, kind=kind, count=count), victim, reason)


async def test_a_call_answered_twice(fleet: Fleet) -> None:
    """c asks b, b answers, and answers again."""
    await _ends_alone(
        fleet, wish("acts:calls_then_asks_for_another", "a", "c", peer="b"), "c", "which it was not asked"
    )


async def test_a_reply_to_somebody_elses_call(fleet: Fleet) -> None:
    """a waits for c, and b answers in c's stead under every number that a may have used."""
    outcome = await ask(fleet, wish("acts:answered_by_another", "a", slow="c", liar="b"))
    assert outcome.failure is not None
    assert (outcome.failure.kind, outcome.failure.party) == ("protocol", "b")
    assert "which it was not asked" in outcome.failure.message


async def test_a_truncated_frame_is_a_lost_connection(fleet: Fleet) -> None:
    """b closes its connection with c in the middle of a frame."""
    outcome = await ask(fleet, wish("acts:spoil_and_hang_up", "a", "b", peer="c"))
    assert outcome.failure is None
    assert await act(fleet, "acts:calls", "a", "b", peer="c", count=1) == [0]


# -- strangers


def _hello(fleet: Fleet, name: str) -> Hello:
    return fleet._members[name].hello.result()


async def _refused(fleet: Fleet, party: str, words: str, before: int) -> None:
    await until(lambda: log_of(fleet, party).count(words) > before)


@pytest.mark.parametrize("port", ["port", "channel_port"])
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "http request"),
        (b"\0" * 64, "wrong version"),
        (b"\x16\x03\x01\xff\xff", ""),
    ],
)
async def test_plaintext_at_a_port(fleet: Fleet, port: str, data: bytes, reason: str) -> None:
    before = log_of(fleet, "c").count("refused")
    with socket.create_connection(("127.0.0.1", getattr(_hello(fleet, "c"), port)), timeout=5) as sock:
        sock.sendall(data)
        with contextlib.suppress(OSError):  # refused already
            sock.shutdown(socket.SHUT_WR)
        assert await asyncio.to_thread(_drain, sock)
    await _refused(fleet, "c", "refused", before)
    assert reason in log_of(fleet, "c").splitlines()[-1]
    assert await act(fleet, "acts:calls", "a", peer="c", count=1) == [0]


def _drain(sock: socket.socket) -> bool:
    """Whether the other side closes the connection."""
    try:
        while sock.recv(4096):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("port", ["port", "channel_port"])
async def test_a_key_that_is_in_no_roster(fleet: Fleet, port: str) -> None:
    stranger = Identity("b")  # a name is nothing
    stranger.pin({"c": _hello(fleet, "c").certificate})
    before = log_of(fleet, "c").count(NO_PEER)
    assert await asyncio.to_thread(_dial_as, stranger.client, getattr(_hello(fleet, "c"), port)) is None
    await _refused(fleet, "c", NO_PEER, before)


@pytest.mark.parametrize("port", ["port", "channel_port"])
async def test_no_key_at_all(fleet: Fleet, port: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    before = log_of(fleet, "c").count("refused")
    assert await asyncio.to_thread(_dial_as, context, getattr(_hello(fleet, "c"), port)) is None
    await _refused(fleet, "c", "refused", before)


@pytest.mark.parametrize("port", ["port", "channel_port"])
async def test_an_older_tls(fleet: Fleet, port: str) -> None:
    stranger = Identity("b")
    stranger.client.minimum_version = ssl.TLSVersion.TLSv1_2
    stranger.client.maximum_version = ssl.TLSVersion.TLSv1_2
    before = log_of(fleet, "c").count("unsupported protocol")
    with pytest.raises(ssl.SSLError), socket.create_connection(("127.0.0.1", getattr(_hello(fleet, "c"), port))) as raw:
        await asyncio.to_thread(stranger.client.wrap_socket, raw)
    await _refused(fleet, "c", "unsupported protocol", before)


def _dial_as(context: ssl.SSLContext, port: int) -> bytes | None:
    """What comes back for a call or an opening; None where the connection is closed without a word."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as raw, context.wrap_socket(raw) as sock:
            sock.sendall(b"".join(frames.encode(Header(CALL, 1, "echo", fields={"value": 1}))))
            return sock.recv(1) or None
    except (ConnectionError, ssl.SSLError):
        return None


async def test_a_party_does_not_talk_to_an_impostor() -> None:
    """Pins hold in both directions: the one who dials checks who answers."""
    victim, impostor, real = Identity("a"), Identity("b"), Identity("b")
    victim.pin({"b": real.certificate})
    impostor.pin({"a": victim.certificate})
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepting = asyncio.create_task(asyncio.to_thread(_accept_as, impostor.server, server))
        with (
            pytest.raises(ssl.SSLCertVerificationError),
            socket.create_connection(server.getsockname(), timeout=5) as raw,
        ):
            await asyncio.to_thread(victim.client.wrap_socket, raw)
        with pytest.raises(ssl.SSLError):
            await accepting


def _accept_as(context: ssl.SSLContext, server: socket.socket) -> None:
    raw, _ = server.accept()
    raw.settimeout(5)
    context.wrap_socket(raw, server_side=True).close()


async def test_a_certificate_signed_by_a_pinned_key_is_not_that_key() -> None:
    """A pinned peer is a trust anchor for OpenSSL; it must not be able to make peers of its own."""
    today = datetime.now(UTC)
    issuer_key, key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()

    def certificate(subject: str, mine: Ed25519PrivateKey, issuer: str, by: Ed25519PrivateKey, ca: bool) -> bytes:
        names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (subject, issuer)]
        builder = x509.CertificateBuilder(names[1], names[0], mine.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(today - timedelta(1)).not_valid_after(today + timedelta(1))
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        return builder.sign(by, None).public_bytes(serialization.Encoding.PEM)

    issuer = certificate("b", issuer_key, "b", issuer_key, True)
    made_up = certificate("c", key, "b", issuer_key, False)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    victim = Identity("a")
    victim.pin({"b": issuer.decode()})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with tempfile.NamedTemporaryFile() as file:
        file.write(made_up + issuer + secret)
        file.flush()
        context.load_cert_chain(file.name)
    ours, theirs = socket.socketpair()
    for each in (ours, theirs):
        each.settimeout(5)
    dialling = asyncio.create_task(asyncio.to_thread(context.wrap_socket, theirs))
    try:
        accepted = await asyncio.to_thread(victim.server.wrap_socket, ours, server_side=True)
    except ssl.SSLCertVerificationError:
        pass  # refused outright, as well
    else:
        assert victim.peer_of(accepted) is None
        accepted.close()
    (await asyncio.gather(dialling, return_exceptions=True))


@pytest.mark.parametrize("port", ["port", "channel_port"])
async def test_half_open_handshakes_hold_up_nobody(launcher: LocalLauncher, tmp_path: Path, port: str) -> None:
    async with running(launcher, plan("a"), tmp_path) as fleet:
        address = ("127.0.0.1", getattr(_hello(fleet, "a"), port))
        strangers = [await asyncio.to_thread(socket.create_connection, address, 5) for _ in range(300)]
        try:
            began = time.monotonic()
            # A lost connection is dialled anew, among the strangers; so is a channel.
            await ask(fleet, wish("acts:spoil", peer="a", data="00000000"))
            await until(lambda: "refused client" in log_of(fleet, "a"))
            assert await act(fleet, "acts:calls", peer="a", count=3) == [0, 1, 2]
            assert await act(fleet, "rounds:both", peer="a", sizes=[10, 10]) == [10, 10]
            assert time.monotonic() - began < 5
            await until(lambda: "too many strangers at the door" in log_of(fleet, "a"))
        finally:
            for stranger in strangers:
                stranger.close()


# -- links that the plan does not have


async def test_every_missing_link_is_refused(launcher: LocalLauncher, tmp_path: Path) -> None:
    """Five parties in a chain: each pair without a link tries, with its own real key, past all checks of its own."""
    names = ["client", "p1", "p2", "p3", "p4"]
    async with running(launcher, plan(*names[1:]), tmp_path) as fleet:
        for i, name in enumerate(names):
            for j, other in enumerate(names):
                if abs(i - j) < 2:
                    continue
                hello = _hello(fleet, other)
                target = {
                    "name": other,
                    "host": hello.host,
                    "port": hello.port,
                    "channel_port": hello.channel_port,
                    "certificate": hello.certificate,
                }
                before = log_of(fleet, other).count(NO_PEER)
                doors = await act(fleet, "acts:knocks", *names[1 : i + 1], target=target)
                assert set(doors) == {"ctx.call", "connection", "channel"}
                assert all(doors.values()), f"{name} got in at {other}: {doors}"
                await until(lambda o=other, n=before + 2: log_of(fleet, o).count(NO_PEER) == n)
        assert await act(fleet, "acts:calls", *names[1:-1], peer="p4", count=2) == [0, 1]
        assert all(state.health == "ready" for state in fleet.parties())


async def test_a_replaced_key_is_refused(launcher: LocalLauncher, tmp_path: Path) -> None:
    async with running(launcher, plan("a"), tmp_path) as fleet:
        # The client's process, and with it its real key, stays; its place in the roster of a goes to somebody else.
        hello = msgspec.structs.replace(_hello(fleet, "client"), certificate=Identity("client").certificate)
        fleet._members["a"].tell(Roster((peer_of("client", hello, dial=False),), ("client",)))
        await until(lambda: "its key was replaced" in log_of(fleet, "a"))
        outcome = await ask(fleet, wish("acts:calls", peer="a", count=1))
        assert outcome.failure is not None and (outcome.failure.kind, outcome.failure.party) == ("party-lost", "a")
        await until(lambda: "any more" in log_of(fleet, "a"))
        outcome = await ask(fleet, wish("rounds:both", peer="a", sizes=[10]))
        assert outcome.failure is not None
        assert log_of(fleet, "a").count("any more") >= 2
