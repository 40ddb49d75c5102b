"""`unfed`: private entry, layers over several nodes, circuits to whoever asks. The face; it imports nothing heavy."""

from __future__ import annotations

from itertools import pairwise

from unfed.plugins import (
    Backend,
    Link,
    Model,
    ModelCard,
    Models,
    Plan,
    UnfedError,
    hookimpl,
    split_evenly,
)
from unfed.plugins import Options as AnyOptions

from ..common.families import family_of
from . import parties as played
from .names import DEALER, ENTRIES, GUARD, VERIFIER
from .options import UnfedOptions
from .promises import guarantee


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
        checked = options.checked
        ends = (*ENTRIES, nodes[-1], *((VERIFIER,) if checked else ()))
        paths = [[GUARD, *_relays(number, options.relays), end] for number, end in enumerate(ends)]
        replicas = {name: played.replicas(name, options.replicas) for name in nodes}
        behind = _behind(paths, replicas)
        relays = tuple(name for name in behind if name not in ends)
        parties = [
            played.client(card, options, paths, dict(zip(nodes, ranges, strict=True))),
            *(played.relay(name, behind[name]) for name in relays),
            *(played.entry(name, party, card, options, replicas[nodes[0]]) for party, name in enumerate(ENTRIES)),
            *([played.dealer(card, shared)] if shared else []),
            *played.layers(nodes, ranges, options, positions),
            *([played.verifier(list(replicas.values()), ranges, shared)] if checked else []),
        ]
        pairs = dict.fromkeys((a, b) for path in paths for a, b in pairwise(("client", *path)))
        links = [Link(a, b) for a, b in pairs]
        links += [Link(name, nodes[0]) for name in ENTRIES]
        if shared:
            links += [Link(*ENTRIES), *(Link(name, DEALER) for name in ENTRIES)]
        links += [Link(a, b) for a, b in pairwise(nodes)]
        links += [Link(VERIFIER, name) for name in (*(ENTRIES if shared else ()), *nodes) if checked]
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
        from .integrity.audit import Judge
        from .integrity.proof import decode

        return Judge(model).fault(decode(proof))


def _ranges(layers: int, shared: int, shards: int) -> list[tuple[int, int]]:
    """First and last layer of each node: of those before the client's, without the first ones that are `shared`."""
    split_evenly(layers, shards)  # or it would depend on `mpc_layers` what is refused
    left = layers - shared
    return [(first + shared, last + shared) for first, last in split_evenly(left, min(shards, left))]


def _relays(circuit: int, count: int) -> list[str]:
    return [f"relay-{circuit}" if count == 1 else f"relay-{circuit}-{number}" for number in range(count)]


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


@hookimpl
def unfed_backends() -> list[type[Backend]]:
    return [Unfed]
