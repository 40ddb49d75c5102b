"""`mpc-crypten`: the whole model under CrypTen's protocols, with a dealer. The face; it imports nothing heavy."""

from __future__ import annotations

from unfed.plugins import Backend, Link, ModelCard, Models, Options, Party, Plan, Requirement, hookimpl

from ..common.claims import on_the_network, on_two_nodes, open_weights
from ..common.families import family_of

NODES = ("compute-0", "compute-1")
DEALER = "dealer"
INSTALL = "pip install omegaconf onnx pyyaml scipy scikit-learn && pip install --no-deps crypten==0.4.1"
"""CrypTen's own metadata asks for packages that it does not need, one of which is gone."""
STREAM = "AES-128 in counter mode is a pseudorandom generator (CrypTen's masks come from it here, not from torch)"
TRUNCATION = (
    "CrypTen's truncation fails at random, with a chance of |x| / 2^32 for each product x that it cuts to 16 bits"
)
RIGHT = (
    "no number leaves the ranges watched on random tokens by more than the room given, and none overflows 64 bits: "
    "CrypTen cannot tell, and only logits that cannot be are refused",
    TRUNCATION,
)


class MpcCrypten(Backend):
    """Two nodes hold every number as two shares; CrypTen's protocols compute on them; a third process deals triples."""

    name, title = "mpc-crypten", "MPC, CrypTen"
    summary = (
        "CrypTen's protocols over authenticated links: two nodes compute on shares, a separate dealer makes triples."
    )
    source = "https://arxiv.org/abs/2109.00984"
    takes = ("text", "image")
    requires = tuple(Requirement(module, INSTALL) for module in ("crypten", "omegaconf", "onnx", "yaml"))

    def plan(self, models: Models, options: Options) -> Plan:
        card = models["model"]
        assert isinstance(card, ModelCard)
        role, image = "unfed.backends.mpc_crypten", card.takes == "image"
        if not image:
            family_of(card)
        client, node = ("images:Client", "images:Node") if image else ("client:Client", "node:Node")
        right, reveals = ((TRUNCATION,), ()) if image else (RIGHT, ("length",))
        parties = (
            Party("client", f"{role}.{client}", opens={"model": ("config",)}),
            *(
                Party(name, f"{role}.{node}", opens={"model": ("all",)}, settings={"rank": rank})
                for rank, name in enumerate(NODES)
            ),
            Party(DEALER, f"{role}.dealer:Dealer"),
        )
        links = (
            *(Link("client", name) for name in NODES),
            Link(*NODES),
            *(Link(name, DEALER) for name in NODES),
        )
        guarantee = (
            *on_two_nodes(NODES, DEALER, (STREAM,), right, reveals),
            *open_weights(NODES),
            *on_the_network(),
        )
        return Plan(parties=parties, links=links, guarantee=guarantee)


@hookimpl
def unfed_backends() -> list[type[Backend]]:
    return [MpcCrypten]
