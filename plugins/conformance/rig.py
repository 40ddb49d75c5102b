"""A backend on the bench: its plan, the models it was given, and the fleets that checks use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from ..backend import Backend, Models, cards_of
from ..errors import Failure, UnfedError
from ..models import ModelCard
from ..options import Options
from ..plan import Plan
from ..query import Event, Query
from .canary import Asked, Planter
from .exchange import Exchange, exchange, new_query
from .lab import Fleet, Lab

SHORT = 8
LONG = 96
"""Tokens asked for: where any answer will do, and where something is to happen in the middle of it."""


class Rig:
    """What every check is given.

    Args:
        folder: logs and views go there.
        patience: seconds that one query may take.
    """

    def __init__(
        self, lab: Lab, backend: type[Backend], options: Options, models: Models, *, folder: Path, patience: float
    ) -> None:
        self.lab, self.backend, self.options, self.models = lab, backend, options, models
        self.folder, self.patience = folder, patience
        self.plan = make_plan(backend, models, options)
        card = models.get("model")
        pictured = (each for each in cards_of(backend, models) if each.takes == "image")
        self.card = card if isinstance(card, ModelCard) else next(pictured, None)  # an ensemble has members alone
        self.planter = Planter(self.card)
        self.failures: list[Failure] = []
        """Every failure that was seen, to be searched for secrets."""
        self.planted: list[Asked] = []
        """Every prompt that was asked."""
        self.baseline: Mapping[str, int] = {}
        """Entries of each view before the first canary."""
        self._shared: Fleet | None = None
        self._next = 0

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def nodes(self) -> tuple[str, ...]:
        """Processes that are not the client."""
        return tuple(name for name in self.plan.processes() if not self.plan.party(name).trusted)

    async def fleet(self) -> Fleet:
        """The audited fleet that most checks share; it has answered one query already."""
        if self._shared is None:
            fleet = await self.lab.start(self.backend.name, self.plan, self.models, self.folder / "views")
            self._shared = fleet
            first = await self.ask(fleet)
            assert first.settlement is not None
            self.baseline = {view.party: sum(1 for _ in view) for view, _, _ in first.settlement.views}
        return self._shared

    @contextlib.asynccontextmanager
    async def fresh(self, plan: Plan | None = None) -> AsyncIterator[Fleet]:
        """A fleet of one's own."""
        fleet = await self.lab.start(self.backend.name, plan or self.plan, self.models, None)
        try:
            yield fleet
        finally:
            await fleet.stop()

    async def close(self) -> None:
        if self._shared is not None:
            await self._shared.stop()
            self._shared = None

    def prompt(self) -> Asked:
        """A prompt that was not asked before; it is a canary too, for the sake of logs."""
        self._next += 1
        return self.remember(self.planter.plant(self._next).asked)

    def remember(self, asked: Asked) -> Asked:
        """Itself; logs and errors are searched for it."""
        self.planted.append(asked)
        return asked

    def query(self, prompt: Asked | None = None, tokens: int = SHORT, **settings: Any) -> Query:
        return new_query(self.prompt() if prompt is None else prompt, tokens, **settings)

    async def ask(
        self,
        fleet: Fleet,
        query: Query | None = None,
        *,
        during: Callable[[Event], None] | None = None,
        settle: bool = True,
        timeout: float | None = None,
    ) -> Exchange:
        """Ask, and remember how it failed if it did."""
        made = await exchange(fleet, query or self.query(), timeout or self.patience, during=during, settle=settle)
        if made.failure is not None:
            self.failures.append(made.failure)
        return made


def make_plan(backend: type[Backend], models: Models, options: Options) -> Plan:
    """The backend's plan as it comes; whether it hangs together is for a check to say.

    Raises:
        UnfedError: the backend makes none.
    """
    try:
        return backend().plan_for(models, options)
    except UnfedError:
        raise
    except Exception as error:  # the code under test may raise anything at all
        raise UnfedError(
            f"backend {backend.name} cannot make a plan: {type(error).__name__}: {error}", kind="internal"
        ) from error


def pid_of(fleet: Fleet, name: str) -> int:
    return next(party.pid for party in fleet.parties() if party.name == name)


def running(fleet: Fleet) -> list[int]:
    """Processes of the parties, and those that they have started."""
    found = []
    for party in fleet.parties():
        found.append(party.pid)
        with contextlib.suppress(psutil.Error):
            found += [child.pid for child in psutil.Process(party.pid).children(recursive=True)]
    return found


def signalled(pid: int, number: int) -> None:
    """Send a signal; nothing happens if the process has ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def alive(pid: int) -> bool:
    """Whether a process is there and no mere entry that waits to be reaped."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
