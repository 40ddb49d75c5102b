"""What `unfed` promises, and what it does not. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping

from unfed.plugins import Claim

from ..common.claims import FIXED_KEY, on_the_network
from ..common.claims import shared as on_shares
from .names import DEALER, ENTRIES, GUARD

SEALED = "AES-256-GCM and X25519 hold what they promise"


def guarantee(
    relays: tuple[str, ...],
    opens: Mapping[str, Mapping[str, tuple[str, ...]]],
    layers: tuple[str, ...],
    tail: int,
    shared: int = 0,
) -> tuple[Claim, ...]:
    """Claims on prompt, output, identity and weights.

    Args:
        relays: the guard among them.
        opens: what each party opens, by name.
        shared: layers that the entries run under two-party computation, with a dealer.
    """
    claims: list[Claim] = []
    inner = (*ENTRIES, DEALER) if shared else ENTRIES
    for asset in ("prompt", "output"):
        for relay in relays:
            claims.append(_kept(asset, (relay,), (SEALED,), ("length", "message times")))
        if shared:
            claims += on_shares(asset, ENTRIES, DEALER, (SEALED, FIXED_KEY), ("length",))
            continue
        for entry in ENTRIES:
            claims.append(_kept(asset, (entry,), (SEALED, FIXED_KEY), ("length",)))
        claims.append(Claim(asset=asset, property="confidentiality", against=ENTRIES, basis="none"))
    for node in layers:
        rows = () if shared or node != layers[0] else ("embedding rows",)
        claims.append(_open("prompt", node, ("activations", *rows, "length")))
        told = ("activations", "length") if tail or node != layers[-1] else ("activations", "length", "logits")
        claims.append(_open("output", node, told))
    claims += _identity(relays, inner, layers)
    claims.append(Claim(asset="output", property="integrity", against=(*inner, *layers), basis="none"))
    claims += [
        Claim(asset="weights", property="confidentiality", against=(name,), basis="none", reveals=parts)
        for name in (*ENTRIES, *layers)
        if (parts := tuple(part for part in opens[name]["model"] if part != "config"))
    ]
    return (*claims, *on_the_network())


def _identity(relays: tuple[str, ...], inner: tuple[str, ...], layers: tuple[str, ...]) -> list[Claim]:
    """Who asks is known to the guard, and to whoever pools what it has with the guard."""
    claims = [
        Claim(asset="identity", property="anonymity", against=(GUARD,), basis="none", reveals=("who asks, and when",))
    ]
    for name in (*relays, *inner, *layers):
        if name != GUARD:
            claims.append(
                Claim(
                    asset="identity",
                    property="anonymity",
                    against=(name,),
                    basis="computational",
                    assumes=(SEALED, "more than one asks through the guard"),
                )
            )
    for name in dict.fromkeys((*inner, layers[0], layers[-1])):
        claims.append(
            Claim(
                asset="identity",
                property="anonymity",
                against=(GUARD, name),
                basis="none",
                reveals=("who asks, by the times of messages",),
            )
        )
    claims.append(
        Claim(
            asset="identity",
            property="anonymity",
            against=("network",),
            basis="none",
            reveals=("who asks, by the times of messages",),
        )
    )
    return claims


def _kept(asset: str, against: tuple[str, ...], assumes: tuple[str, ...], reveals: tuple[str, ...]) -> Claim:
    return Claim(
        asset=asset,
        property="confidentiality",
        against=against,
        basis="computational",
        assumes=assumes,
        reveals=reveals,
    )


def _open(asset: str, node: str, reveals: tuple[str, ...]) -> Claim:
    return Claim(asset=asset, property="confidentiality", against=(node,), basis="none", reveals=reveals)
