"""Claims that several backends make. Imports nothing heavy."""

from __future__ import annotations

from unfed.plugins import Claim

FIXED_KEY = "AES under fixed public keys behaves like a random permutation"
"""What the function keys of `mpc.engine` rest on."""
SEMI_HONEST = "every party follows the protocol and may only look at what it sees (semi-honest)"


def on_two_nodes(
    nodes: tuple[str, str],
    dealer: str,
    assumes: tuple[str, ...],
    right: tuple[str, ...] = (),
    reveals: tuple[str, ...] = ("length",),
) -> list[Claim]:
    """What two nodes that hold shares and a dealer learn of prompt and output, one by one and pooled.

    Args:
        assumes: what confidentiality rests on besides `SEMI_HONEST` and that no two of the three pool what they have.
        right: what must hold for answers to be right, though all follow the protocol.
        reveals: what each of them learns all the same.
    """
    claims = [claim for asset in ("prompt", "output") for claim in shared(asset, nodes, dealer, assumes, reveals)]
    return claims + [
        Claim(asset="output", property="integrity", against=(against,), basis="none", assumes=right)
        for against in (*nodes, dealer)
    ]


def shared(
    asset: str, nodes: tuple[str, str], dealer: str, assumes: tuple[str, ...], reveals: tuple[str, ...]
) -> list[Claim]:
    """An asset that two nodes hold as shares under a dealer's masks: kept from each alone, and from no two of them.

    Args:
        assumes: likewise, as in `on_two_nodes`.
        reveals: what each learns all the same.
    """
    apart = f"no two of {nodes[0]}, {nodes[1]} and {dealer} pool what they have"
    return [
        *(
            Claim(
                asset=asset,
                property="confidentiality",
                against=(against,),
                basis="computational",
                assumes=(SEMI_HONEST, apart, *assumes),
                reveals=reveals,
            )
            for against in (*nodes, dealer)
        ),
        *(
            Claim(asset=asset, property="confidentiality", against=pair, basis="none")
            for pair in (nodes, (nodes[0], dealer), (nodes[1], dealer))
        ),
    ]


def open_weights(nodes: tuple[str, ...]) -> list[Claim]:
    """Weights that all of `nodes` hold."""
    return [
        Claim(asset="weights", property="confidentiality", against=(node,), basis="none", reveals=("all",))
        for node in nodes
    ]


def on_the_network() -> tuple[Claim, ...]:
    """Who taps the links learns sizes and times alone: true of every backend, since it comes from the wire."""
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
