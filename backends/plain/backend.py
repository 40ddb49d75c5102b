"""`plain`: one untrusted node holds the whole model and sees everything. The face; it imports nothing heavy."""

from __future__ import annotations

from unfed.plugins import Backend, Claim, ModelCard, Models, Options, Party, Plan, chain, hookimpl

from ..common.claims import on_the_network


class Plain(Backend):
    """The reference for fidelity, and the honest zero of privacy."""

    name, title = "plain", "Plain"
    summary = (
        "One node holds the whole model and sees prompt and answer: the reference that the others are held against."
    )
    takes = ("text", "image")

    def plan(self, models: Models, options: Options) -> Plan:
        card = models["model"]
        assert isinstance(card, ModelCard)
        image = card.takes == "image"
        client, server = ("images:Client", "images:Server") if image else ("client:Client", "server:Server")
        return Plan(
            parties=(
                Party("client", f"unfed.backends.plain.{client}", opens={"model": ("config",)}),
                Party("server", f"unfed.backends.plain.{server}", opens={"model": ("all",)}),
            ),
            links=chain("client", "server"),
            guarantee=(
                Claim(
                    asset="prompt",
                    property="confidentiality",
                    against=("server",),
                    basis="none",
                    reveals=("pixels",) if image else ("token ids", "length", "sampling parameters"),
                ),
                Claim(
                    asset="output",
                    property="confidentiality",
                    against=("server",),
                    basis="none",
                    reveals=("scores",) if image else ("token ids", "logits", "length"),
                ),
                Claim(asset="output", property="integrity", against=("server",), basis="none"),
                Claim(
                    asset="weights",
                    property="confidentiality",
                    against=("server",),
                    basis="none",
                    reveals=("all",),
                ),
                *on_the_network(),
            ),
        )


@hookimpl
def unfed_backends() -> list[type[Backend]]:
    return [Plain]
