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
from .names import DEALER, ENTRIES, GUARD, VERIFIER
from .promises import guarantee

ROLES = "unfed.backends.unfed"
_LOSABLE: dict[str, Any] = {"restart": "on-failure", "survivable": True}
"""Of parties whose work the client has done again elsewhere, or by whoever takes their place."""
_CONTEXT = 1 << 16
"""Most rows of a session of a model that says of no limit."""


class UnfedOptions(AnyOptions):
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


class Unfed(Backend):
    """Two entries look tokens up that they cannot read; the layers see activations, and not whose."""

    name, title = "unfed", "UNFED, done faithfully"
    summary = "Entries look up what they cannot read, layers get activations without a name, the guard a name alone."
    source = "https://github.com/risha-max/UNFED-AI"
    Options = UnfedOptions

    def plan(self, models: Models, options: AnyOptions) -> Plan:
        card = models["model"]
        assert isinstance(card, ModelCard) and isinstance(options, UnfedOptions)
        positions, shared = bool(family_of(card).positions), options.mpc_layers
        if shared + options.tail >= card.layers:
            said = f"mpc_layers is {shared}, tail is {options.tail}" if shared else f"tail is {options.tail}"
            raise UnfedError(
                f"{said}, and {card.name} has {card.layers} layers",
                hint="leave at least one layer to the nodes",
            )
        ranges = _ranges(card.layers - options.tail, shared, options.shards)
        nodes = tuple(f"layers-{number}" for number in range(len(ranges)))
        checked = _checked(options)
        ends = (*ENTRIES, nodes[-1], *((VERIFIER,) if checked else ()))
        paths = [[GUARD, *_relays(number, options.relays), end] for number, end in enumerate(ends)]
        replicas = {name: _replicas(name, options.replicas) for name in nodes}
        behind = _behind(paths, replicas)
        parties = [
            _client(card, options, paths, dict(zip(nodes, ranges, strict=True))),
            *(
                Party(name, f"{ROLES}.hop:Hop", settings={"behind": after}, **_LOSABLE)
                for name, after in behind.items()
                if name not in ends
            ),
            *(_entry(name, party, card, options, replicas[nodes[0]]) for party, name in enumerate(ENTRIES)),
            *([_dealer(card, shared)] if shared else []),
            *_layers(nodes, ranges, options, positions),
            *([_verifier(list(replicas.values()))] if checked else []),
        ]
        pairs = dict.fromkeys((a, b) for path in paths for a, b in pairwise(("client", *path)))
        links = [Link(a, b) for a, b in pairs]
        links += [Link(name, nodes[0]) for name in ENTRIES]
        if shared:
            links += [Link(*ENTRIES), *(Link(name, DEALER) for name in ENTRIES)]
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
                options.checks if checked else "none",
                options.check_rate,
                paths[-1] if checked else (),
                shared,
            ),
            private_ids=True,
        )

    def judge(self, proof: bytes, model: Model) -> str:
        from .audit import Judge
        from .proof import decode

        return Judge(model).fault(decode(proof))


def _checked(options: UnfedOptions) -> bool:
    """Whether nodes are held to what they do: under MPC nobody but both entries could do it again, so not there."""
    return options.checks != "none" and not options.mpc_layers


def _ranges(layers: int, shared: int, shards: int) -> list[tuple[int, int]]:
    """First and last layer of each node: of those before the client's, without the first ones that are `shared`."""
    split_evenly(layers, shards)  # or it would depend on `mpc_layers` what is refused
    left = layers - shared
    return [(first + shared, last + shared) for first, last in split_evenly(left, min(shards, left))]


def _relays(circuit: int, count: int) -> list[str]:
    return [f"relay-{circuit}" if count == 1 else f"relay-{circuit}-{number}" for number in range(count)]


def _replicas(name: str, count: int) -> list[str]:
    """Names of the processes of a party."""
    return list(Party(name, "", replicas=count).processes())


def _behind(paths: list[list[str]], replicas: dict[str, list[str]]) -> dict[str, list[str]]:
    """Of every hop, the processes that may come after it."""
    found: dict[str, list[str]] = {}
    for path in paths:
        for name, after in zip(path, [*path[1:], None], strict=True):
            known = found.setdefault(name, [])
            for process in replicas.get(after, [after]) if after is not None else []:
                if process not in known:
                    known.append(process)
    return found


def _client(card: ModelCard, options: UnfedOptions, paths: list[list[str]], nodes: dict[str, tuple[int, int]]) -> Party:
    tail = card.layers - options.tail if options.tail else None
    known = dict.fromkeys((*(name for path in paths for name in path), *(nodes if _checked(options) else ())))
    checks = {"kind": options.checks, "rate": options.check_rate, "decoys": options.decoys, "proofs": options.proofs}
    opens = ["config", "head"] + ([] if tail is None else [layers(tail, card.layers - 1)])
    return Party(
        "client",
        f"{ROLES}.client:Client",
        opens={"model": tuple(opens)},
        settings={
            "entries": paths[:2],
            "reply": paths[2][:-1],
            "verifier": paths[3] if len(paths) > 3 else [],
            "nodes": [_replicas(name, options.replicas) for name in nodes],
            "tail": tail,
            "mpc_layers": options.mpc_layers,
            "ranges": [list(run) for run in nodes.values()],
            "wire_dtype": options.wire_dtype,
            "checks": checks,
        },
        knows=tuple(known),
    )


def _verifier(nodes: list[list[str]]) -> Party:
    return Party(
        VERIFIER,
        f"{ROLES}.verifier:Verifier",
        opens={"model": ("all",)},
        settings={"behind": [], "layers": nodes},
        knows=ENTRIES,
        **_LOSABLE,
    )


def _entry(name: str, party: int, card: ModelCard, options: UnfedOptions, firsts: list[str]) -> Party:
    opens, shared = ["config", "embedding"], options.mpc_layers
    settings: dict[str, Any] = {"party": party, "behind": [], "firsts": firsts, "stated": _checked(options)}
    if not shared:
        role = f"{ROLES}.entry:Entry"
        return Party(name, role, opens={"model": tuple(opens)}, settings=settings, **_LOSABLE)
    return Party(
        name,
        f"{ROLES}.mpc_layers.entry:LayersEntry",
        opens={"model": (*opens, layers(0, shared - 1))},
        settings=settings | _computing(card, shared),
    )


def _dealer(card: ModelCard, shared: int) -> Party:
    role = f"{ROLES}.mpc_layers.dealer:Dealer"
    return Party(DEALER, role, opens={"model": ("config",)}, settings=_computing(card, shared))


def _computing(card: ModelCard, shared: int) -> dict[str, Any]:
    return {"layers": shared, "context": card.context or _CONTEXT}


def _layers(
    nodes: tuple[str, ...], ranges: list[tuple[int, int]], options: UnfedOptions, positions: bool
) -> list[Party]:
    around = [list(ENTRIES), *(_replicas(name, options.replicas) for name in nodes), []]
    parties = []
    for number, (name, (first, last)) in enumerate(zip(nodes, ranges, strict=True)):
        at_start, at_end = number == 0, number == len(nodes) - 1
        module, role = _role(at_start, at_end, options.mpc_layers > 0)
        rows_arrive = at_start and not options.mpc_layers
        opens = ["config", *(["embedding"] if rows_arrive and positions else []), layers(first, last)]
        settings = {
            "first": first,
            "last": last,
            "before": around[number],
            "after": around[number + 2],
            "wire_dtype": options.wire_dtype,
            "stated": _checked(options),
            "verifier": VERIFIER if _checked(options) else "",
            **({"whole": options.tail > 0, "behind": []} if at_end else {}),
        }
        if options.cheat and number == len(nodes) // 2:
            module, settings["cheat"] = "cheats", options.cheat
        parties.append(
            Party(
                name,
                f"{ROLES}.{module}:{role}",
                opens={"model": tuple(opens)},
                settings=settings,
                replicas=options.replicas,
                **_LOSABLE,
            )
        )
    return parties


def _role(at_start: bool, at_end: bool, shared: bool) -> tuple[str, str]:
    """Module and class of a node with layers."""
    if at_start and shared:
        return "mpc_layers.first", "ContinuingAlone" if at_end else "Continuing"
    names = {(True, True): "Only", (True, False): "First", (False, True): "Last"}
    return "layers", names.get((at_start, at_end), "Layers")


@hookimpl
def unfed_backends() -> list[type[Backend]]:
    return [Unfed]
