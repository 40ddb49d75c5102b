"""`mpc`: the whole model under two-party computation with a dealer. The face; it imports nothing heavy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from unfed.plugins import Backend, Link, ModelCard, Models, Party, Plan, hookimpl
from unfed.plugins import Options as AnyOptions

from ..common.claims import on_the_network, on_two_nodes
from ..common.families import family_of

NODES = ("compute-0", "compute-1")
FIXED_KEY = "AES under fixed public keys behaves like a random permutation"


class MpcOptions(AnyOptions):
    context: int = Field(default=1024, ge=2, le=1 << 16)
    """Most tokens that a prompt and its answer may have together; the model's own limit where that is lower."""
    softmax: Literal["auto", "own", "maximum"] = "auto"
    """What is taken off attention scores: a token's own, which is quicker and fails where scores spread widely, or the
    largest. `auto` looks how they spread when the model writes texts of its own."""


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
        role, shared = "unfed.backends.mpc", {"context": min(options.context, card.context or options.context)}
        held = {**shared, "softmax": options.softmax}
        parties = (
            Party("client", f"{role}.client:Client", opens={"model": ("config",)}, settings=shared),
            *(
                Party(name, f"{role}.node:Node", opens={"model": ("all",)}, settings={"party": party, **held})
                for party, name in enumerate(NODES)
            ),
            Party("dealer", f"{role}.dealer:Dealer", opens={"model": ("config",)}, settings=shared),
        )
        links = (
            *(Link("client", name) for name in NODES),
            Link(*NODES),
            *(Link(name, "dealer") for name in NODES),
        )
        return Plan(
            parties=parties, links=links, guarantee=(*on_two_nodes(NODES, "dealer", (FIXED_KEY,)), *on_the_network())
        )


@hookimpl
def unfed_backends() -> list[type[Backend]]:
    return [Mpc]
