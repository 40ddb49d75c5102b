"""A backend that promises everything and breaks one promise at a time, to see whether the kit notices. The face."""

from __future__ import annotations

from typing import Literal

from unfed.plugins import Backend, Claim, Models, Options, Party, Plan, chain

NODES = ("one", "two")


class LeakyOptions(Options):
    leak: str = "nothing"
    """What gets out, or goes wrong: a key of `leaky_roles.LEAKS` or `FAULTS`."""
    restart: Literal["never", "on-failure"] = "never"
    """What the plan says of nodes that die."""
    survivable: bool = False
    """Whether it says that queries survive their loss."""
    pooled: bool = True
    """Promise against both nodes together; otherwise against each alone."""


class Leaky(Backend):
    name, title = "leaky", "Leaky"
    summary = "It makes up answers, and tells the nodes what it should not."
    Options = LeakyOptions

    def plan(self, models: Models, options: Options) -> Plan:
        assert isinstance(options, LeakyOptions)
        settings = {"leak": options.leak}
        coalitions = (NODES,) if options.pooled else tuple((node,) for node in NODES)
        return Plan(
            parties=(
                Party("client", "leaky_roles:Client", {"model": ("config", "embedding")}, settings),
                *(
                    Party(
                        node,
                        "leaky_roles:Node",
                        settings=settings,
                        restart=options.restart,
                        survivable=options.survivable,
                    )
                    for node in NODES
                ),
            ),
            links=chain("one", "client", "two"),
            guarantee=tuple(
                Claim(
                    asset=asset,
                    property="confidentiality",
                    against=coalition,
                    basis="computational",
                    assumes=("nothing that holds",),
                )
                for asset in ("prompt", "output")
                for coalition in coalitions
            ),
        )
