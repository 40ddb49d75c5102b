"""A plan: what a backend asks for. Pure data, made without torch."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal

import msgspec

from .errors import UnfedError
from .guarantee import OUTSIDERS, Claim

CLIENT = "client"


class Party(msgspec.Struct, frozen=True):
    """One party of a plan: a process with its own key pair.

    Attributes:
        name: unique within the plan; `client` is the one trusted party. With `replicas` above 1 the processes are
            called `name.0`, `name.1`, ….
        role: `"package.module:Class"`, imported inside the party that plays it.
        opens: model slot → the parts this party may read (see `ModelCard.opened`); for a slot filled with several
            models, `slot[i]`.
        settings: JSON-able values handed to the role as `ctx.settings`.
        knows: parties whose certificates this one is given though it has no link to them: it can check what they sign,
            and cannot reach them.
        restart: whether a process that dies is replaced, under a new key.
        survivable: its loss fails no query: the client's role is told instead (`ClientRole.lost`) and sees to it, as
            by asking a replica. Goes with `replicas` and `restart`; never of the client.
        threads: compute threads of the process.
    """

    name: str
    role: str
    opens: Mapping[str, tuple[str, ...]] = {}
    settings: Mapping[str, Any] = {}
    knows: tuple[str, ...] = ()
    replicas: int = 1
    restart: Literal["never", "on-failure"] = "never"
    survivable: bool = False
    threads: int = 1

    @property
    def trusted(self) -> bool:
        return self.name == CLIENT

    def processes(self) -> tuple[str, ...]:
        """Names of the processes that play this party."""
        return (self.name,) if self.replicas == 1 else tuple(f"{self.name}.{i}" for i in range(self.replicas))


class Link(msgspec.Struct, frozen=True):
    """Two parties that may talk to each other, in both directions. No link, no connection: the roster leaves it out."""

    a: str
    b: str


def chain(*names: str) -> tuple[Link, ...]:
    """A link between each name and the next; a link that would repeat an earlier one is left out."""
    seen: dict[frozenset[str], Link] = {}
    for a, b in pairwise(names):
        if a != b:
            seen.setdefault(frozenset((a, b)), Link(a, b))
    return tuple(seen.values())


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Parties, links and guarantee of one variant.

    Attributes:
        private_ids: frames carry no query id, so that parties cannot link a query across the fleet by it; traffic is
            then attributed to whatever query is in flight.
        mode: `simulated` marks every record and screen; the reason stands in the guarantee's `assumes`.
    """

    parties: tuple[Party, ...]
    links: tuple[Link, ...]
    guarantee: tuple[Claim, ...]
    private_ids: bool = False
    mode: Literal["real", "simulated"] = "real"

    def party(self, name: str) -> Party:
        """The party that a process called `name` plays."""
        for party in self.parties:
            if name == party.name or name in party.processes():
                return party
        raise KeyError(name)

    def peers(self, process: str) -> tuple[str, ...]:
        """Names of the processes that `process` shares a link with, in the plan's order."""
        mine = self.party(process).name
        linked = {link.b if link.a == mine else link.a for link in self.links if mine in (link.a, link.b)}
        return tuple(name for party in self.parties if party.name in linked for name in party.processes())

    def known(self, process: str) -> tuple[str, ...]:
        """Names of the processes whose certificates `process` is given without a link."""
        mine, peers = self.party(process), self.peers(process)
        return tuple(name for party in mine.knows for name in self.party(party).processes() if name not in peers)

    def processes(self) -> tuple[str, ...]:
        return tuple(name for party in self.parties for name in party.processes())

    def survivable(self) -> frozenset[str]:
        """Names of the processes whose loss fails no query."""
        return frozenset(name for party in self.parties if party.survivable for name in party.processes())

    def check(self) -> Plan:
        """Itself, once it hangs together.

        Raises:
            UnfedError: (an author's mistake) a missing client or a survivable one, a repeated name, a link or claim
                that names nobody, no guarantee, or a simulated plan that gives no reason.
        """
        names = [party.name for party in self.parties]
        known = set(names) | set(self.processes())
        problems = [f"the party {name!r} is declared twice" for name in set(names) if names.count(name) > 1]
        if CLIENT not in names:
            problems.append("there is no party called 'client'")
        for party in self.parties:
            if ":" not in party.role:
                problems.append(f"role {party.role!r} of {party.name} is not of the form package.module:Class")
            if party.replicas < 1 or (party.trusted and party.replicas != 1):
                problems.append(f"{party.name} cannot have {party.replicas} replicas")
            if party.trusted and party.survivable:
                problems.append("no query survives the loss of the client")
            problems += [f"{party.name} knows {name!r}" for name in party.knows if name not in names]
            if CLIENT in party.knows:
                problems.append(f"{party.name} knows the client, whose key those alone get that it talks to")
        for link in self.links:
            problems += [f"the link {link.a} – {link.b} names {end!r}" for end in (link.a, link.b) if end not in names]
            if link.a == link.b:
                problems.append(f"{link.a} is linked to itself")
        if not self.guarantee:
            problems.append("the guarantee is empty; a claim on basis 'none' says what is not protected")
        for claim in self.guarantee:
            try:
                msgspec.convert(msgspec.to_builtins(claim), Claim)
            except msgspec.ValidationError as error:
                raise UnfedError(f"claim on {claim.asset}: {error}", kind="internal") from error
            problems += [
                f"the claim on {claim.asset} names {who!r}"
                for who in claim.against
                if who not in known and who not in OUTSIDERS
            ]
            if CLIENT in claim.against:
                problems.append(f"the claim on {claim.asset} is against the client, the one trusted party")
        if self.mode == "simulated" and not any("simulated" in why for c in self.guarantee for why in c.assumes):
            problems.append("a simulated plan must say 'simulated: …' in the assumes of a claim")
        if problems:
            raise UnfedError(f"the plan does not hold together: {'; '.join(problems)}", kind="internal")
        return self
