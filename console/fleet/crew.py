"""The processes of a fleet: launched, introduced to their peers, and replaced, each under a key of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from unfed.plugins import (
    CLIENT,
    Emulation,
    Failure,
    Launcher,
    ModelCard,
    OpenedModel,
    Party,
    PartySpec,
    Plan,
    UnfedError,
)
from unfed.plugins.backend import Models

from ..party.control import Meet, Report, Roster
from .logs import log_path
from .member import Member, peer_of
from .state import Health, PartyState
from .steps import all_take

HELLO_WITHIN = 60.0
READY_WITHIN = 600.0
GRACE = 2.0
"""Seconds given: to say hello, to load and start, to stop by itself."""


class Crew:
    """Every process that plays a party of `plan`, by name.

    Args:
        heard: called with each report of a member that is not the member's own business.
        ended: called when a member's process has ended by itself.
        changed: called with a member's state whenever it changes.
    """

    def __init__(
        self,
        variant: str,
        backend: str,
        plan: Plan,
        models: Models,
        launcher: Launcher,
        logs: Path,
        link: Emulation,
        views: Path | None,
        heard: Callable[[Member, Report], None],
        ended: Callable[[Member, Failure], None],
        changed: Callable[[PartyState], None],
    ) -> None:
        self._variant, self._backend, self._plan, self._models = variant, backend, plan, models
        self._launcher, self._logs, self._link, self._views = launcher, logs, link, views
        self._heard, self._ended, self._changed = heard, ended, changed
        self.members: dict[str, Member] = {}
        self.setup_phases: dict[str, float] = {}

    def set_health(self, member: Member, health: Health, note: str = "") -> None:
        member.state.health, member.state.note = health, note
        if health not in ("starting", "ready"):
            member.state.cpu_percent, member.state.round_trips = 0.0, {}  # no heartbeat will say so
        self._changed(msgspec.structs.replace(member.state))

    async def launch(self, name: str) -> None:
        """Start the process called `name`; under that name there may have been another before."""
        party = self._plan.party(name)
        spec = PartySpec(
            variant=self._variant,
            name=name,
            role=party.role,
            settings=dict(party.settings),
            models=self._opened(party),
            threads=party.threads,
            link=self._link,
            private_ids=self._plan.private_ids,
            tape=str(self._views / f"{name}.view") if self._views else None,
        )
        self._logs.mkdir(parents=True, exist_ok=True)
        log = log_path(self._logs, self._variant, name)
        before = self.members.get(name)
        state = PartyState(
            variant=self._variant,
            backend=self._backend,
            name=name,
            role=party.role.rpartition(":")[2],
            trusted=party.trusted,
            restarts=before.state.restarts + 1 if before else 0,
            health="restarting" if before else "starting",
            log=str(log),
        )
        log_start = log.stat().st_size if log.exists() else 0
        process = await self._launcher.launch(spec, log)
        member = self.members[name] = Member(spec, process, state, self._heard, self._ended, log_start)
        member.begin()
        self._changed(msgspec.structs.replace(state))

    def _opened(self, party: Party) -> dict[str, OpenedModel]:
        opened: dict[str, OpenedModel] = {}
        for slot, opens in party.opens.items():
            name, _, index = slot.partition("[")
            cards = self._models[name]
            card = cards if isinstance(cards, ModelCard) else cards[int(index.rstrip("]") or 0)]
            opened[slot] = OpenedModel(card, tuple(opens))
        return opened

    async def join(self, names: Collection[str]) -> None:
        """Give these members, and all that have to do with them, their rosters; wait until every one is ready.

        Raises:
            UnfedError: one did not take a step of this, or ended meanwhile.
        """
        new = [self.members[name] for name in names]
        await all_take(lambda member: member.hello, new, "say hello", HELLO_WITHIN)
        wanted = set(names).union(*(self._plan.peers(name) for name in names))
        wanted |= {other for other in self._plan.processes() if not set(names).isdisjoint(self._plan.known(other))}
        touched = [member for name, member in self.members.items() if name in wanted and member.is_here]
        for member in touched:
            member.expect_again()
            member.tell(self._roster(member.spec.name))
        await all_take(lambda member: member.pinned, touched, "take its roster", HELLO_WITHIN)
        for member in touched:
            member.tell(Meet())
        await all_take(lambda member: member.ready, touched, "get ready", READY_WITHIN)
        for member in touched:
            if member.end is not None:
                raise UnfedError.of(member.end)
            self.set_health(member, "ready")
        if CLIENT in names and not self.setup_phases:
            self.setup_phases = self.members[CLIENT].ready.result().phases

    def _roster(self, name: str) -> Roster:
        """Only peers that the plan links to `name`, and certificates of those it knows, as far as they are there.
        Whoever comes first in the plan dials."""
        order = self._plan.processes()
        return Roster(
            tuple(
                peer_of(peer, self.members[peer].hello.result(), dial=order.index(name) < order.index(peer))
                for peer in self._plan.peers(name)
                if self.members[peer].is_here
            ),
            self._plan.peers(name),
            {
                known: self.members[known].hello.result().certificate
                for known in self._plan.known(name)
                if self.members[known].is_here
            },
        )

    async def renew(self, name: str) -> None:
        """Put a fresh process in the place of the one called `name`; nobody has been introduced to it yet."""
        old = self.members[name]
        old.leaving = True
        old.process.kill()
        await old.leave(GRACE)
        self.set_health(old, "restarting")
        await self.launch(name)

    def give_up(self, name: str, why: str) -> None:
        """Have a process end for good, for a reason that is known."""
        self.set_health(self.members[name], "lost", why)
        self.members[name].process.kill()
