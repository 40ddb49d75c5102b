"""`mpc`: the whole model under two-party computation with a dealer. The face; it imports nothing heavy."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from unfed.plugins import Backend, Claim, Link, ModelCard, Models, Party, Plan, hookimpl
from unfed.plugins import Options as AnyOptions

from ..common.claims import FIXED_KEY, SEMI_HONEST, on_the_network, on_two_nodes, open_weights, shared
from ..common.families import family_of

NODES = ("compute-0", "compute-1")
DEALER, OWNER = "dealer", "owner"


STREAM = "AES-128 in counter mode under a secret key is a pseudorandom generator"
FORMAT = (
    "the config",
    "bits of fraction of each kind of number",
    "powers of two about the mean squares before each normaliser, and above what activation functions are given",
    "whether attention scores spread widely",
)
"""What is told of secret weights: the config, and `scales.Format`."""


class MpcOptions(AnyOptions):
    context: int = Field(default=1024, ge=2, le=1 << 16)
    """Most tokens that a prompt and its answer may have together; the model's own limit where that is lower."""
    softmax: Literal["auto", "own", "maximum"] = "auto"
    """What is taken off attention scores: a token's own, which is quicker and fails where scores spread widely, or the
    largest. `auto` looks how they spread when the model writes texts of its own."""
    pool: int = Field(default=1, ge=0, le=16)
    """Sessions whose randomness is made while nobody asks, each for a prompt about as long as one of the last ones: up
    to 384 MiB at each node. 0 makes it all while the query waits."""
    weights: Literal["public", "secret"] = "public"
    """Whether both nodes hold the model, or a further party, its owner, shares it between them so that neither learns
    the weights: three rounds more a layer and one a token, and more to send."""


class Mpc(Backend):
    """Two nodes hold every number as two shares that say nothing alone; a dealer makes their randomness."""

    name, title = "mpc", "MPC, our engine"
    summary = (
        "Two nodes compute on shares that tell nothing alone; a dealer who sees lengths only makes the randomness."
    )
    source = "docs/backends/mpc.md"
    Options = MpcOptions

    def plan(self, models: Models, options: AnyOptions) -> Plan:
        card = models["model"]
        assert isinstance(card, ModelCard) and isinstance(options, MpcOptions)
        family_of(card)
        context = {"context": min(options.context, card.context or options.context)}
        asking = {**context, "pool": options.pool}
        calibrating = {**context, "softmax": options.softmax}
        made = _secret if options.weights == "secret" else _public
        return made(context, asking, calibrating)


ROLES = "unfed.backends.mpc"
LINKS = (
    *(Link("client", name) for name in NODES),
    Link(*NODES),
    *(Link(name, DEALER) for name in NODES),
)


def _public(context: dict[str, Any], asking: dict[str, Any], calibrating: dict[str, Any]) -> Plan:
    """Both nodes open the model."""
    parties = (
        Party("client", f"{ROLES}.client:Client", opens={"model": ("config",)}, settings=asking),
        *(
            Party(name, f"{ROLES}.node:Node", opens={"model": ("all",)}, settings={"party": party, **calibrating})
            for party, name in enumerate(NODES)
        ),
        Party(DEALER, f"{ROLES}.dealer:Dealer", opens={"model": ("config",)}, settings=context),
    )
    guarantee = (*on_two_nodes(NODES, DEALER, (FIXED_KEY,)), *open_weights(NODES), *on_the_network())
    return Plan(parties=parties, links=LINKS, guarantee=guarantee)


def _secret(context: dict[str, Any], asking: dict[str, Any], calibrating: dict[str, Any]) -> Plan:
    """The owner alone opens the model; it is linked to the nodes, which ask it for shares at start and never again."""
    config = {"model": ("config",)}
    parties = (
        Party("client", f"{ROLES}.client:Client", opens=config, settings=asking),
        Party(OWNER, f"{ROLES}.owner:Owner", opens={"model": ("all",)}, settings=calibrating),
        *(
            Party(name, f"{ROLES}.secret:SecretNode", opens=config, settings={"party": party, **context})
            for party, name in enumerate(NODES)
        ),
        Party(DEALER, f"{ROLES}.secret:SecretDealer", opens=config, settings=context),
    )
    links = (*LINKS, *(Link(OWNER, name) for name in NODES))
    guarantee = (
        *on_two_nodes(NODES, DEALER, (FIXED_KEY,)),
        *shared("weights", NODES, DEALER, (STREAM,), FORMAT),
        *_owner(),
        *on_the_network(),
    )
    return Plan(parties=parties, links=links, guarantee=guarantee)


def _owner() -> list[Claim]:
    """What the owner learns of queries: nothing, since nothing reaches it, and no more than a party it pools with."""
    apart = f"no two of {NODES[0]}, {NODES[1]} and {DEALER} pool what they have"
    claims = [Claim(asset="output", property="integrity", against=(OWNER,), basis="none")]
    for asset in ("prompt", "output"):
        claims.append(
            Claim(
                asset=asset,
                property="confidentiality",
                against=(OWNER,),
                basis="information-theoretic",
                assumes=(SEMI_HONEST,),
            )
        )
        claims += [
            Claim(
                asset=asset,
                property="confidentiality",
                against=(OWNER, other),
                basis="computational",
                assumes=(SEMI_HONEST, apart, FIXED_KEY),
                reveals=("length",),
            )
            for other in (*NODES, DEALER)
        ]
    return claims


@hookimpl
def unfed_backends() -> list[type[Backend]]:
    return [Mpc]
