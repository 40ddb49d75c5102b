"""`unfed`: private entry, layers over several nodes, circuits to whoever asks. The face; it imports nothing heavy."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

from pydantic import Field

from unfed.plugins import (
    Backend,
    Link,
    Model,
    ModelCard,
    Models,
    Party,
    Plan,
    UnfedError,
    hookimpl,
    layers,
    split_evenly,
)
from unfed.plugins import Options as AnyOptions

from ..common.families import family_of
from .names import ENTRIES, GUARD, VERIFIER
from .promises import guarantee

ROLES = "unfed.backends.unfed"


class UnfedOptions(AnyOptions):
    shards: int = Field(default=3, ge=1)
    """Nodes that the layers are spread over; at most the number of layers that are not the client's."""
    relays: int = Field(default=1, ge=0, le=3)
    """Relays on each circuit between the guard and the circuit's end."""
    tail: int = Field(default=0, ge=0)
    """Last layers that the client runs itself: without any, the last node could work out what is likely to come, for
    the output matrix is public."""
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


class Unfed(Backend):
    """Two entries look tokens up that they cannot read; the layers see activations, and not whose."""

    name, title = "unfed", "UNFED, done faithfully"
    summary = "Entries look up what they cannot read, layers get activations without a name, the guard a name alone."
    source = "https://github.com/risha-max/UNFED-AI"
    Options = UnfedOptions

    def plan(self, models: Models, options: AnyOptions) -> Plan:
        card = models["model"]
        assert isinstance(card, ModelCard) and isinstance(options, UnfedOptions)
        positions = bool(family_of(card).positions)
        if options.tail >= card.layers:
            raise UnfedError(
                f"tail is {options.tail}, and {card.name} has {card.layers} layers",
                hint="leave at least one layer to the nodes",
            )
        ranges = split_evenly(card.layers - options.tail, options.shards)
        nodes = tuple(f"layers-{number}" for number in range(len(ranges)))
        checked = options.checks != "none"
        ends = (*ENTRIES, nodes[-1], *((VERIFIER,) if checked else ()))
        paths = [[GUARD, *_relays(number, options.relays), end] for number, end in enumerate(ends)]
        behind = _behind(paths)
        parties = [
            _client(card, options, paths, dict(zip(nodes, ranges, strict=True))),
            *(
                Party(name, f"{ROLES}.hop:Hop", settings={"behind": after})
                for name, after in behind.items()
                if name not in ends
            ),
            *(_entry(name, party, checked) for party, name in enumerate(ENTRIES)),
            *_layers(nodes, ranges, options, positions),
            *([_verifier(nodes)] if checked else []),
        ]
        pairs = dict.fromkeys((a, b) for path in paths for a, b in pairwise(("client", *path)))
        links = [Link(a, b) for a, b in pairs]
        links += [Link(name, nodes[0]) for name in ENTRIES]
        links += [Link(a, b) for a, b in pairwise(nodes)]
        links += [Link(VERIFIER, name) for name in nodes if checked]
        relays = tuple(name for name in behind if name not in ends)
        return Plan(
            parties=tuple(parties),
            links=tuple(links),
            guarantee=guarantee(
                relays,
                {party.name: party.opens for party in parties},
                nodes,
                options.tail,
                options.checks,
                options.check_rate,
                paths[-1] if checked else (),
            ),
            private_ids=True,
        )

    def judge(self, proof: bytes, model: Model) -> str:
        from .audit import Judge
        from .proof import decode

        return Judge(model).fault(decode(proof))


def _relays(circuit: int, count: int) -> list[str]:
    return [f"relay-{circuit}" if count == 1 else f"relay-{circuit}-{number}" for number in range(count)]


def _behind(paths: list[list[str]]) -> dict[str, list[str]]:
    """Of every hop, those that may come after it."""
    found: dict[str, list[str]] = {}
    for path in paths:
        for name, after in zip(path, [*path[1:], None], strict=True):
            known = found.setdefault(name, [])
            if after is not None and after not in known:
                known.append(after)
    return found


def _client(card: ModelCard, options: UnfedOptions, paths: list[list[str]], nodes: dict[str, tuple[int, int]]) -> Party:
    tail = card.layers - options.tail if options.tail else None
    known = dict.fromkeys((*(name for path in paths for name in path), *(nodes if options.checks != "none" else ())))
    checks = {"kind": options.checks, "rate": options.check_rate, "decoys": options.decoys, "proofs": options.proofs}
    opens = ["config", "head"] + ([] if tail is None else [layers(tail, card.layers - 1)])
    return Party(
        "client",
        f"{ROLES}.client:Client",
        opens={"model": tuple(opens)},
        settings={
            "paths": paths,
            "tail": tail,
            "nodes": {name: list(run) for name, run in nodes.items()},
            "wire_dtype": options.wire_dtype,
            "checks": checks,
        },
        knows=tuple(known),
    )


def _verifier(nodes: tuple[str, ...]) -> Party:
    return Party(
        VERIFIER,
        f"{ROLES}.verifier:Verifier",
        opens={"model": ("all",)},
        settings={"behind": [], "layers": list(nodes)},
        knows=ENTRIES,
    )


def _entry(name: str, party: int, stated: bool) -> Party:
    return Party(
        name,
        f"{ROLES}.entry:Entry",
        opens={"model": ("config", "embedding")},
        settings={"party": party, "behind": [], "stated": stated},
    )


def _layers(
    nodes: tuple[str, ...], ranges: list[tuple[int, int]], options: UnfedOptions, positions: bool
) -> list[Party]:
    around: list[Any] = [list(ENTRIES), *([name] for name in nodes)]
    parties = []
    for number, (name, (first, last)) in enumerate(zip(nodes, ranges, strict=True)):
        at_start, at_end = number == 0, number == len(nodes) - 1
        role = {(True, True): "Only", (True, False): "First", (False, True): "Last"}.get((at_start, at_end), "Layers")
        opens = ["config", *(["embedding"] if at_start and positions else []), layers(first, last)]
        settings = {
            "first": first,
            "last": last,
            "before": around[number],
            "after": "" if at_end else nodes[number + 1],
            "wire_dtype": options.wire_dtype,
            "stated": options.checks != "none",
            "verifier": VERIFIER if options.checks != "none" else "",
            **({"whole": options.tail > 0, "behind": []} if at_end else {}),
        }
        module = "layers"
        if options.cheat and number == len(nodes) // 2:
            module, settings["cheat"] = "cheats", options.cheat
        parties.append(Party(name, f"{ROLES}.{module}:{role}", opens={"model": tuple(opens)}, settings=settings))
    return parties


@hookimpl
def unfed_backends() -> list[type[Backend]]:
    return [Unfed]
