"""Backends for tests of the screens: faces and plans alone, nothing that runs."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Literal

from pydantic import Field

from unfed.plugins import Backend, Claim, Link, ModelCard, Options, Party, Plan, Requirement, UnfedError, chain

CARD = ModelCard(
    name="demo",
    folder="demo",
    family="llama",
    layers=4,
    hidden=128,
    vocab=2048,
    context=256,
    parameters=1_100_000,
    tied=True,
    config={},
    tensors={},
)


class Plain(Backend):
    name, title = "plain", "Plain model"
    summary = "One untrusted node holds the whole model and sees everything: the reference, and the zero of privacy."
    source = "transformers AutoModelForCausalLM"

    def plan(self, models, options):
        exposed = [
            Claim(asset=asset, property="confidentiality", against=("server",), basis="none")
            for asset in ("prompt", "output", "weights")
        ]
        tapped = Claim(
            asset="prompt",
            property="confidentiality",
            against=("network",),
            basis="computational",
            assumes=("TLS 1.3 holds",),
            reveals=("length",),
        )
        return Plan(
            parties=(Party("client", "x:Client"), Party("server", "x:Server")),
            links=chain("client", "server"),
            guarantee=(*exposed, tapped),
        )


class SplitOptions(Options):
    shards: Annotated[int, Field(ge=1, le=8)] = 3
    """How many nodes share the layers."""
    dtype: Literal["fp32", "fp16", "bf16"] = "fp32"
    """Numbers on the wire."""
    embed_at_client: bool = True
    """Whether the client keeps the embedding."""


class Split(Backend):
    name, title = "split", "Layer split"
    summary = "The client embeds; the layers run on a chain of nodes that see activations and pass them on."
    source = "Petals (Borzunov et al., 2023)"
    Options = SplitOptions

    def plan(self, models, options):
        if options.shards > models["model"].layers:
            raise UnfedError(f"4 layers cannot be split over {options.shards} nodes", hint="choose 1 to 4 shards")
        nodes = [f"layers-{i}" for i in range(options.shards)]
        prompt = Claim(
            asset="prompt",
            property="confidentiality",
            against=tuple(nodes),
            basis="obfuscation",
            reveals=("activations", "length"),
            assumes=("nobody inverts the activations",),
        )
        weights = Claim(asset="weights", property="confidentiality", against=tuple(nodes[:1]), basis="none")
        return Plan(
            parties=(Party("client", "x:Client"), *(Party(node, "x:Layers") for node in nodes)),
            links=(*chain("client", *nodes), Link(nodes[-1], "client")) if len(nodes) > 1 else chain("client", *nodes),
            guarantee=(prompt, weights),
        )


class Veil(Backend):
    """Simulated: it must never look like a real one."""

    name, title = "veil", "Veiled inference"
    summary = "Homomorphic inference as it would cost, computed in the clear."
    source = "a paper, 2024"

    def plan(self, models, options):
        claim = Claim(
            asset="prompt",
            property="confidentiality",
            against=("server",),
            basis="computational",
            parameters={"bits": 128.0},
            assumes=("simulated: no ciphertext is made, costs are modelled",),
        )
        return Plan(
            parties=(Party("client", "x:Client"), Party("server", "x:Server")),
            links=chain("client", "server"),
            guarantee=(claim,),
            mode="simulated",
        )


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class LostOptions(Options):
    colour: Colour = Colour.RED
    """An enum."""
    ratios: list[float] = Field(default=[0.5, 0.25])
    """A list."""
    seed: int | None = None
    """Optional."""
    epsilon: Annotated[float, Field(gt=0)] = 1.0
    """With a bound below."""


class Lost(Backend):
    name, title = "lost", "Lattice oracle"
    summary = "Needs a library that is not there."
    source = "Another paper, 2021"
    Options = LostOptions
    requires = (Requirement("no_such_module_anywhere", "pip install lattice-oracle"),)

    def plan(self, models, options):
        raise AssertionError("a backend that is missing something is never planned")


ALL = {backend.name: backend for backend in (Plain, Split, Veil, Lost)}
