"""The parties of a plan of `unfed`: what each plays, opens and is set to. Imports nothing heavy."""

from __future__ import annotations

from typing import Any

from unfed.plugins import ModelCard, Party
from unfed.plugins import layers as run_of

from .names import DEALER, ENTRIES, VERIFIER
from .options import UnfedOptions

ROLES = "unfed.backends.unfed"
_LOSABLE: dict[str, Any] = {"restart": "on-failure", "survivable": True}
"""Of parties whose work the client has done again elsewhere, or by whoever takes their place."""
_CONTEXT = 1 << 16
"""Most rows of a session of a model that says of no limit."""


def replicas(name: str, count: int) -> list[str]:
    """Names of the processes of a party."""
    return list(Party(name, "", replicas=count).processes())


def relay(name: str, behind: list[str]) -> Party:
    return Party(name, f"{ROLES}.circuits.hop:Hop", settings={"behind": behind}, **_LOSABLE)


def client(card: ModelCard, options: UnfedOptions, paths: list[list[str]], nodes: dict[str, tuple[int, int]]) -> Party:
    tail = card.layers - options.tail if options.tail else None
    held = (*nodes, *((DEALER,) if options.mpc_layers else ())) if options.checked else ()
    known = dict.fromkeys((*(name for path in paths for name in path), *held))
    checks = {"kind": options.checks, "rate": options.check_rate, "decoys": options.decoys, "proofs": options.proofs}
    opens = ["config", "head"] + ([] if tail is None else [run_of(tail, card.layers - 1)])
    return Party(
        "client",
        f"{ROLES}.client.client:Client",
        opens={"model": tuple(opens)},
        settings={
            "entries": paths[:2],
            "reply": paths[2][:-1],
            "verifier": paths[3] if len(paths) > 3 else [],
            "nodes": [replicas(name, options.replicas) for name in nodes],
            "tail": tail,
            "mpc_layers": options.mpc_layers,
            "ranges": [list(run) for run in nodes.values()],
            "wire_dtype": options.wire_dtype,
            "checks": checks,
        },
        knows=tuple(known),
    )


def verifier(nodes: list[list[str]], ranges: list[tuple[int, int]], shared: int) -> Party:
    return Party(
        VERIFIER,
        f"{ROLES}.integrity.verifier:Verifier",
        opens={"model": ("all",)},
        settings={"behind": [], "layers": nodes, "ranges": [list(run) for run in ranges], "mpc_layers": shared},
        knows=ENTRIES,
        **_LOSABLE,
    )


def entry(name: str, party: int, card: ModelCard, options: UnfedOptions, firsts: list[str]) -> Party:
    opens, shared = ["config", "embedding"], options.mpc_layers
    settings: dict[str, Any] = {"party": party, "behind": [], "firsts": firsts, "stated": options.checked}
    if not shared:
        role = f"{ROLES}.nodes.entry:Entry"
        return Party(name, role, opens={"model": tuple(opens)}, settings=settings, **_LOSABLE)
    settings |= _computing(card, shared) | {"verifier": _verifier(options)}
    return Party(
        name,
        f"{ROLES}.mpc_layers.entry:LayersEntry",
        opens={"model": (*opens, run_of(0, shared - 1))},
        settings=settings,
        **_LOSABLE,
    )


def dealer(card: ModelCard, shared: int) -> Party:
    role = f"{ROLES}.mpc_layers.dealer:Dealer"
    return Party(DEALER, role, opens={"model": ("config",)}, settings=_computing(card, shared), **_LOSABLE)


def _verifier(options: UnfedOptions) -> str:
    """Who may have nodes open what they sent."""
    return VERIFIER if options.checked else ""


def _computing(card: ModelCard, shared: int) -> dict[str, Any]:
    return {"layers": shared, "context": card.context or _CONTEXT}


def layers(
    nodes: tuple[str, ...], ranges: list[tuple[int, int]], options: UnfedOptions, positions: bool
) -> list[Party]:
    around = [list(ENTRIES), *(replicas(name, options.replicas) for name in nodes), []]
    parties = []
    for number, (name, (first, last)) in enumerate(zip(nodes, ranges, strict=True)):
        at_start, at_end = number == 0, number == len(nodes) - 1
        module, role = _role(at_start, at_end, options.mpc_layers > 0)
        rows_arrive = at_start and not options.mpc_layers
        opens = ["config", *(["embedding"] if rows_arrive and positions else []), run_of(first, last)]
        settings = {
            "first": first,
            "last": last,
            "before": around[number],
            "after": around[number + 2],
            "wire_dtype": options.wire_dtype,
            "stated": options.checked,
            "verifier": _verifier(options),
            **({"whole": options.tail > 0, "behind": []} if at_end else {}),
        }
        if options.cheat and number == len(nodes) // 2:
            module, settings["cheat"] = f"{module.split('.')[0]}.cheats", options.cheat
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
    if at_end:
        return "nodes.last", "Only" if at_start else "Last"
    return ("nodes.joining", "First") if at_start else ("nodes.layers", "Layers")
