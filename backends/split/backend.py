"""`split`: the layers over several nodes, tokeniser and sampling at the client. The face; it imports nothing heavy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from unfed.plugins import (
    Backend,
    Claim,
    ModelCard,
    Models,
    Party,
    Plan,
    chain,
    hookimpl,
    layers,
    split_evenly,
)
from unfed.plugins import Options as AnyOptions

from ..common.claims import on_the_network
from ..common.families import family_of

Place = Literal["client", "node"]


class SplitOptions(AnyOptions):
    shards: int = Field(default=3, ge=1)
    """Nodes that the layers are spread over; at most the number of layers."""
    wire_dtype: Literal["fp32", "fp16", "bf16"] = "fp32"
    """Type that hidden states travel in: fp16 and bf16 halve the traffic, fp32 alone gives exactly plain's answers."""
    embedding: Place = "client"
    """Where tokens become hidden states: the client, or the first node, which then reads the tokens themselves."""
    head: Place = "client"
    """Where hidden states become logits: the client, or the last node, which then knows what is likely to come."""


class Split(Backend):
    """Layer-split inference as in Petals: each node runs its layers and hands on; none holds the whole model."""

    name, title = "split", "Layer split"
    summary = "Each node holds a run of layers and hands hidden states on: none gets text, each gets activations."
    source = "https://arxiv.org/abs/2209.01188"
    Options = SplitOptions

    def plan(self, models: Models, options: AnyOptions) -> Plan:
        card = models["model"]
        assert isinstance(card, ModelCard) and isinstance(options, SplitOptions)
        family_of(card)
        ranges = split_evenly(card.layers, options.shards)
        nodes = tuple(f"layers-{index}" for index in range(len(ranges)))
        around = ("client", *nodes, "client")
        opens = [["config", layers(first, last)] for first, last in ranges]
        mine = ["config"]
        (mine if options.embedding == "client" else opens[0]).append("embedding")
        (mine if options.head == "client" else opens[-1]).append("head")
        parties = [
            Party(
                "client",
                "unfed.backends.split.client:Client",
                opens={"model": tuple(mine)},
                settings={
                    "first": nodes[0],
                    "last": nodes[-1],
                    "wire_dtype": options.wire_dtype,
                    "embedding": options.embedding == "client",
                    "head": options.head == "client",
                },
            )
        ]
        for index, (name, (first, last)) in enumerate(zip(nodes, ranges, strict=True)):
            settings = {
                "first": first,
                "last": last,
                "before": around[index],
                "after": around[index + 2],
                "wire_dtype": options.wire_dtype,
                "embedding": index == 0 and options.embedding == "node",
                "head": index == len(nodes) - 1 and options.head == "node",
            }
            role = "unfed.backends.split.layers:Layers"
            parties.append(Party(name, role, opens={"model": tuple(opens[index])}, settings=settings))
        return Plan(
            parties=tuple(parties), links=chain(*around), guarantee=_guarantee(parties[1:], options) + on_the_network()
        )


def _guarantee(nodes: list[Party], options: SplitOptions) -> tuple[Claim, ...]:
    """A split keeps text out of messages, and hides nothing from whoever inverts activations: every basis is none.

    With public weights the first node's input gives the tokens away by the nearest row of the embedding, and later
    nodes' inputs by inversion; what is generated is fed back, so that it lies open as the prompt does.
    """
    everyone = tuple(node.name for node in nodes)
    seen = ["activations", "length"]
    tokens = ["token ids"] if options.embedding == "node" else []
    scores = ["logits"] if options.head == "node" else []
    claims = []
    for against in (everyone, *((name,) for name in everyone if len(everyone) > 1)):
        first, last = everyone[0] in against, everyone[-1] in against
        claims += [
            Claim(
                asset="prompt",
                property="confidentiality",
                against=against,
                basis="none",
                reveals=(*seen, *(tokens if first else ())),
            ),
            Claim(
                asset="output",
                property="confidentiality",
                against=against,
                basis="none",
                reveals=(*seen, *(tokens if first else ()), *(scores if last else ())),
            ),
        ]
    claims.append(Claim(asset="output", property="integrity", against=everyone, basis="none"))
    claims += [
        Claim(
            asset="weights",
            property="confidentiality",
            against=(node.name,),
            basis="none",
            reveals=tuple(part for part in node.opens["model"] if part != "config"),
        )
        for node in nodes
    ]
    return tuple(claims)


@hookimpl
def unfed_backends() -> list[type[Backend]]:
    return [Split]
