"""What parties sign, and who can check it: peers, and those that know a party without a link to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from puppets import plan
from real_fleets import act, ask, pid_of, running, until, wish

from unfed.console.fleet.fleet import Fleet
from unfed.console.fleet.process import LocalLauncher
from unfed.console.party.identity import Identity
from unfed.plugins import Party
from unfed.plugins.signatures import PREFIX, is_signed

slow = pytest.mark.slow
on_a_fleet = pytest.mark.asyncio(loop_scope="session")

quick = settings(max_examples=60, deadline=None)


@quick
@given(st.binary(max_size=100), st.integers(0, 63), st.integers(1, 255))
def test_a_signature_is_of_one_party_and_one_text(data: bytes, place: int, flip: int) -> None:
    mine, other = Identity("mine"), Identity("other")
    signature = mine.sign(data)
    spoilt = bytes(byte ^ flip if at == place else byte for at, byte in enumerate(signature))
    assert is_signed(mine.certificate, data, signature)
    assert not is_signed(other.certificate, data, signature)
    assert not is_signed(mine.certificate, data + b"!", signature)
    assert not is_signed(mine.certificate, data, spoilt)
    assert not is_signed(mine.certificate, data, signature[:-1])
    assert not is_signed("no certificate", data, signature)


def test_roles_sign_nothing_that_the_transport_would() -> None:
    """TLS 1.3 signs 64 spaces before anything else."""
    assert not PREFIX.startswith(b" ") and b"\0" in PREFIX


@pytest_asyncio.fixture(loop_scope="session")
async def fleet(launcher: LocalLauncher, tmp_path: Path) -> AsyncIterator[Fleet]:
    """client – a – b – c, where the client knows c, which comes back when it dies."""
    c = Party("c", "puppets:Puppet", restart="on-failure")
    made = plan(Party("client", "puppets:PuppetClient", knows=("c",)), "a", "b", c)
    async with running(launcher, made, tmp_path) as fleet:
        yield fleet


@slow
@on_a_fleet
async def test_who_can_check_what_a_party_signs(fleet: Fleet) -> None:
    signature = await act(fleet, "acts:sign", "a", "b", "c", text="so be it")
    for path in ((), ("a", "b"), ("a", "b", "c")):
        assert await act(fleet, "acts:check", *path, party="c", text="so be it", signature=signature)
        assert not await act(fleet, "acts:check", *path, party="c", text="so be that", signature=signature)
    refused = await ask(fleet, wish("acts:check", "a", party="c", text="so be it", signature=signature))
    assert refused.failure is not None and "is not given the certificate of 'c'" in refused.failure.message
    assert await act(fleet, "acts:peers") == ["a"], "to know is not to be linked"


@slow
@on_a_fleet
async def test_who_knows_a_party_learns_its_new_key(fleet: Fleet) -> None:
    before = await act(fleet, "acts:sign", "a", "b", "c", text="so be it")
    pid = pid_of(fleet, "c")
    fleet.kill("c")
    await until(lambda: pid_of(fleet, "c") != pid)
    after = await act(fleet, "acts:sign", "a", "b", "c", text="so be it")
    assert not await act(fleet, "acts:check", party="c", text="so be it", signature=before)
    assert await act(fleet, "acts:check", party="c", text="so be it", signature=after)
