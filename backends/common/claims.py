"""Claims that hold for every backend, since they come from the wire. Imports nothing heavy."""

from __future__ import annotations

from unfed.plugins import Claim


def on_the_network() -> tuple[Claim, ...]:
    """Who taps the links learns sizes and times alone."""
    return tuple(
        Claim(
            asset=asset,
            property="confidentiality",
            against=("network",),
            basis="computational",
            assumes=("TLS 1.3 with pinned Ed25519 keys on every link",),
            reveals=("message sizes", "message times"),
        )
        for asset in ("prompt", "output")
    )
