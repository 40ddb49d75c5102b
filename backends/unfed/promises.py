"""What `unfed` promises, and what it does not. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unfed.plugins import Claim

from ..common.claims import FIXED_KEY, on_the_network
from ..common.claims import shared as on_shares
from .names import DEALER, ENTRIES, GUARD, VERIFIER

TOLERANCE = 1e-3
"""How far a number may lie from what it should be, in units of its row's root mean square. Prefilling and decoding, and
other numbers of threads, differ by about 2e-6; what is below this is out of the checks' reach."""
TOGETHER = 0.1
"""The same of what the entries and the dealer compute together, in units of a row's length: fixed-point numbers and
tables for functions are off by up to 0.03 where they do what they should (docs/backends/unfed.md has the figures)."""
_LOOKED_FOR = f"what deviates by less than {TOLERANCE:g} of a row's size is not looked for"
SEALED = "AES-256-GCM and X25519 hold what they promise"


def guarantee(
    relays: tuple[str, ...],
    opens: Mapping[str, Mapping[str, tuple[str, ...]]],
    layers: tuple[str, ...],
    tail: int,
    checks: str,
    rate: float,
    checkers: Sequence[str],
    shared: int = 0,
) -> tuple[Claim, ...]:
    """Claims on prompt, output, identity and weights.

    Args:
        relays: the guard among them.
        opens: what each party opens, by name.
        checks, rate: as the options `checks` and `check_rate`.
        checkers: hops to the verifier, which is the last of them.
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
    ends = (*inner, *layers, *(() if checks == "none" else (VERIFIER,)))
    claims += _identity(relays, ends, (*inner, layers[0], layers[-1]))
    claims += _integrity((*inner, *layers), inner if shared else (), checks, rate, checkers)
    claims += [
        Claim(asset="weights", property="confidentiality", against=(name,), basis="none", reveals=parts)
        for name in ends
        if (parts := tuple(part for part in opens[name]["model"] if part != "config"))
    ]
    return (*claims, *on_the_network())


def _integrity(
    nodes: tuple[str, ...], together: tuple[str, ...], checks: str, rate: float, checkers: Sequence[str]
) -> list[Claim]:
    """Who computes something else is caught sooner or later; and what the verifier learns for it.

    Args:
        together: those of `nodes` that compute together, so that nobody can tell whose doing it was.
    """
    if checks == "none":
        return [Claim(asset="output", property="integrity", against=nodes, basis="none")]
    what = "session" if checks == "decoys" else "token"
    if checks == "live":
        checkers = checkers[-1:]  # an answer whose check is held back never counts
    claims = [
        Claim(
            asset="output",
            property="integrity",
            against=(node,),
            basis="statistical",
            parameters={"rate": rate},
            assumes=(
                f"a {what} that it spoils is found out at that rate; of n of them, 1 - (1 - rate)^n",
                *(_found_out(node, together) if node in together else (_LOOKED_FOR,)),
                *(("it cannot tell decoys from what is asked",) if checks == "decoys" else ()),
                f"it and {' or '.join(checkers)} do not pool what they have",
            ),
        )
        for node in nodes
    ]
    claims += [
        Claim(asset="output", property="integrity", against=(node, checker), basis="none")
        for node in nodes
        for checker in checkers
    ]
    for asset in ("prompt", "output"):
        if checks == "decoys":
            claims.append(_kept(asset, (VERIFIER,), (SEALED,), ("length of prompts", "decoys")))
        else:
            claims.append(_open(asset, VERIFIER, ("token ids", "activations")))
    return claims


def _found_out(node: str, together: tuple[str, ...]) -> tuple[str, ...]:
    others = " or ".join(name for name in together if name != node)
    return (
        f"it is found out that it was done, not whose doing it was: it may have been {others}",
        f"what deviates by less than {TOGETHER:g} of a row's length is not looked for",
        "it does not have a guard fall in what it spoils, which fails what is asked as well",
    )


def _identity(relays: tuple[str, ...], ends: tuple[str, ...], timed: tuple[str, ...]) -> list[Claim]:
    """Who asks is known to the guard, and to whoever pools what it has with the guard.

    Args:
        timed: where messages of a query come in or go out at times that tell it from others.
    """
    claims = [
        Claim(asset="identity", property="anonymity", against=(GUARD,), basis="none", reveals=("who asks, and when",))
    ]
    for name in (*relays, *ends):
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
    for name in dict.fromkeys(timed):
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
