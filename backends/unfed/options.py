"""What can be chosen of `unfed`. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from unfed.plugins import Options


class UnfedOptions(Options):
    shards: int = Field(default=3, ge=1)
    """Nodes that the layers are spread over; at most the number of layers that are not the client's. Where `mpc_layers`
    leaves fewer to them, there are as many nodes as that."""
    relays: int = Field(default=1, ge=0, le=3)
    """Relays on each circuit between the guard and the circuit's end."""
    replicas: int = Field(default=1, ge=1, le=8)
    """Nodes for each range of layers: an answer goes over one of them, and over another where that one is lost."""
    tail: int = Field(default=0, ge=0)
    """Last layers that the client runs itself: without any, the last node could work out what is likely to come, for
    the output matrix is public."""
    mpc_layers: int = Field(default=0, ge=0)
    """First layers that the entries run under two-party computation, with a dealer as a further party, before anybody
    gets activations; each costs rounds and bytes as in `mpc`."""
    wire_dtype: Literal["fp32", "fp16", "bf16"] = "fp32"
    """Type that hidden states travel in between layers: fp16 and bf16 halve that traffic, fp32 gives exactly plain's
    answers."""
    checks: Literal["decoys", "live", "none"] = "decoys"
    """What is done again by a verifier: sessions of texts that nobody has asked, or real ones, which it then reads."""
    check_rate: float = Field(default=0.05, gt=0, le=1)
    """How likely a decoy is to follow a session; or, with live checks, each token of an answer to be checked."""
    decoys: str = ""
    """A prompts file of texts like those that are asked, templates included; without it, decoys.jsonl in the model's
    folder, or else texts that the model itself writes."""
    proofs: str = ""
    """Folder that proofs against nodes are written to; without it, they are not kept. None are with live checks, whose
    proofs hold what was asked."""
    cheat: Literal["", "perturb", "skip", "stale", "smaller"] = ""
    """For demonstrations: what the middle one of the nodes that run the layers does instead of its work."""

    @property
    def checked(self) -> bool:
        """Whether nodes are held to what they do."""
        return self.checks != "none"
