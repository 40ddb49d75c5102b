"""Knocking at doors that should stay shut: how the conformance kit tries links that a plan does not have.

It runs inside a party, with the party's own key, and does what that party would if it turned against the others: it
leaves its roster aside, dials a peer's address, trusts whatever certificate is shown, and speaks the protocol. Whether
it gets in is for the other side alone to decide.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from typing import Any

from unfed.plugins import Context, UnfedError

from . import frames
from .context import PartyContext
from .frames import CALL, OPEN, Header
from .identity import Identity

METHOD = "unfed_knock"
"""Served by every probe of the kit."""
PATIENCE = 3.0
"""Seconds within which whoever refuses has done so."""


async def knock(ctx: Context, target: Mapping[str, Any]) -> dict[str, str]:
    """Try to reach `target` in every way there is.

    Args:
        target: its `name`, `host`, `port`, `channel_port` and `certificate`.
    Returns:
        door → how it was refused; empty where we got in.
    """
    assert isinstance(ctx, PartyContext)
    try:
        async with asyncio.timeout(PATIENCE):
            await ctx.call(target["name"], METHOD)
        called = ""
    except (UnfedError, TimeoutError) as error:
        called = str(error) or "no answer"
    return {"ctx.call": called, **await knock_as(ctx._door._identity, target)}


async def knock_as(identity: Identity, target: Mapping[str, Any]) -> dict[str, str]:
    """Dial both of `target`'s ports with the key of `identity`, past every check on our own side."""
    identity.client.load_verify_locations(cadata=target["certificate"])
    return {
        "connection": await asyncio.to_thread(_dial, identity.client, target, "port", Header(CALL, 1, METHOD)),
        "channel": await asyncio.to_thread(_dial, identity.client, target, "channel_port", Header(OPEN, name=METHOD)),
    }


async def knock_as_stranger(target: Mapping[str, Any]) -> dict[str, str]:
    """Knock with a fresh key, which stands in nobody's roster."""
    return await knock_as(Identity("stranger"), target)


def _dial(context: ssl.SSLContext, target: Mapping[str, Any], port: str, header: Header) -> str:
    """How the other side refused; empty if it answered, or kept the channel open.

    With TLS 1.3 the handshake is over for the one who dials before the other has looked at its certificate: only what
    comes back afterwards tells.
    """
    try:
        with (
            socket.create_connection((target["host"], target[port]), timeout=PATIENCE) as raw,
            context.wrap_socket(raw, server_hostname=target["name"]) as sock,
        ):
            sock.sendall(b"".join(frames.encode(header)))
            return "" if sock.recv(1) else "the connection was closed"
    except TimeoutError:
        return ""  # nobody closed it
    except OSError as error:
        return f"{type(error).__name__}: {error}"
