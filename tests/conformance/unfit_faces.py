"""Faces with one mistake each, for the kit to find before any process starts."""

from __future__ import annotations

import random
import sys
from typing import Any

from unfed.plugins import Backend, Claim, Models, Options, Party, Plan, Slot, chain


def a_plan(**settings: Any) -> Plan:
    return Plan(
        parties=(Party("client", "nowhere:Client"), Party("node", "nowhere:Node", settings=settings)),
        links=chain("client", "node"),
        guarantee=tuple(
            Claim(asset=asset, property="confidentiality", against=("node",), basis="none")
            for asset in ("prompt", "output")
        ),
    )


class Good(Backend):
    name, title, summary = "good", "Good", "Nothing is wrong with its face."
    slots = {}  # noqa: RUF012

    def plan(self, models: Models, options: Options) -> Plan:
        return a_plan()


class Heavy(Good):
    """Imports while it plans what only parties should import."""

    def plan(self, models: Models, options: Options) -> Plan:
        import torch

        return a_plan(device=str(torch.device("cpu")))


class Fickle(Good):
    def plan(self, models: Models, options: Options) -> Plan:
        return a_plan(seed=random.random())


class ByProcess(Good):
    """The same plan whenever it is asked, and another in another process."""

    def plan(self, models: Models, options: Options) -> Plan:
        return a_plan(order=[hash(word) for word in ("a", "b", "c")], flags=sys.flags.hash_randomization)


class Opaque(Good):
    def plan(self, models: Models, options: Options) -> Plan:
        return a_plan(pair=(1, 2), numbers={1: "a key that JSON has not"})


class Unhinged(Good):
    def plan(self, models: Models, options: Options) -> Plan:
        whole = a_plan()
        return Plan(parties=whole.parties, links=chain("client", "nod"), guarantee=())


class Raising(Good):
    def plan(self, models: Models, options: Options) -> Plan:
        raise KeyError("forgotten")


class Alone(Good):
    def plan(self, models: Models, options: Options) -> Plan:
        whole = a_plan()
        return Plan(
            parties=(*whole.parties, Party("idle", "nowhere:Node")), links=whole.links, guarantee=whole.guarantee
        )


class Bare(Good):
    name, title, summary = "Bare Name", " ", ""


class UndescribedOptions(Options):
    must: int = 1
    told: int = 2
    """This one is described."""


class Undescribed(Good):
    Options = UndescribedOptions


class Greedy(Good):
    """Takes a model and has nobody open it."""

    slots = {"model": Slot("the model")}  # noqa: RUF012


class Grabbing(Greedy):
    """Opens layers that the model has not."""

    def plan(self, models: Models, options: Options) -> Plan:
        whole = a_plan()
        opens = {"model": ("layers 3-9",), "student": ("all",)}
        return Plan(
            parties=(whole.parties[0], Party("node", "nowhere:Node", opens)),
            links=whole.links,
            guarantee=whole.guarantee,
        )


class Silent(Good):
    """Says nothing about one of its nodes."""

    def plan(self, models: Models, options: Options) -> Plan:
        whole = a_plan()
        return Plan(
            parties=(*whole.parties, Party("other", "nowhere:Node")),
            links=chain("node", "client", "other"),
            guarantee=whole.guarantee,
        )


class Boastful(Good):
    """Promises much, and neither assumes nor reveals anything."""

    def plan(self, models: Models, options: Options) -> Plan:
        whole = a_plan()
        claim = Claim(asset="prompt", property="confidentiality", against=("node",), basis="information-theoretic")
        return Plan(parties=whole.parties, links=whole.links, guarantee=(*whole.guarantee, claim))
