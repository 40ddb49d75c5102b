"""The kit from outside: a backend, its models and options in; a checklist out."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from ..backend import Backend
from ..errors import UnfedError
from ..host import PluginHost
from ..models import ModelCard
from ..options import nearest, read_options
from .checks import CHECKS, examine
from .lab import Lab, open_lab
from .outcome import NonConforming, Outcome
from .rig import Rig

PATIENCE = 60.0
"""Seconds that one query may take by default."""

Given = str | Path | ModelCard
"""A model: its folder, its id, or its card."""
MakeLab = Callable[[Path], Lab]


class Kit:
    """One backend with one set of options and models, ready to be checked. A context manager, without async.

    Args:
        backend: name of an installed backend, or a class.
        models: slot → model, or several where the slot takes many.
        options: values by name; what is left out has its default.
        patience: seconds that one query may take.
        folder: for logs and views; a temporary one by default.
        lab: makes what starts fleets; the console's by default.
    """

    def __init__(
        self,
        backend: str | type[Backend],
        *,
        models: Mapping[str, Given | Sequence[Given]] | None = None,
        options: Mapping[str, Any] | None = None,
        patience: float = PATIENCE,
        folder: Path | None = None,
        lab: MakeLab = open_lab,
    ) -> None:
        self._backend = PluginHost().backend(backend) if isinstance(backend, str) else backend
        self._options = read_options(self._backend.name, self._backend.Options, options or {})
        self._models = models or {}
        self._patience = patience
        self._folder = folder
        self._make_lab = lab
        self._runner = asyncio.Runner()
        self._open = contextlib.AsyncExitStack()
        self._rig: Rig

    def __enter__(self) -> Kit:
        try:
            self._runner.run(self._start())
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._runner.run(self._open.aclose())
        finally:
            self._runner.close()

    def check(self, name: str) -> Outcome:
        """Make one check of `CHECKS`."""
        return self._runner.run(examine(self._rig, name))

    async def _start(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            folder = self._folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="unfed-kit-")))
            lab = await stack.enter_async_context(_closing(self._make_lab(folder)))
            cards = await _cards(self._backend, self._models, lab)
            self._rig = Rig(lab, self._backend, self._options, cards, folder=folder, patience=self._patience)
            stack.push_async_callback(self._rig.close)
            self._open = stack.pop_all()


def run_checks(
    backend: str | type[Backend],
    *,
    only: Iterable[str] = (),
    told: Callable[[Outcome], None] | None = None,
    **settings: Any,
) -> list[Outcome]:
    """Check a backend and return the outcomes, in the order of `CHECKS`.

    Args:
        only: names of checks; all by default.
        told: called with each outcome as it comes.
        settings: as `Kit` takes them.
    Raises:
        UnfedError: an unknown backend, option, model or check.
    """
    wanted = list(only) or list(CHECKS)
    for name in wanted:
        if name not in CHECKS:
            raise UnfedError(f"there is no check {name!r}", hint=nearest(name, CHECKS))
    outcomes = []
    with Kit(backend, **settings) as kit:
        for name in CHECKS:
            if name in wanted:
                outcomes.append(kit.check(name))
                if told is not None:
                    told(outcomes[-1])
    return outcomes


def check_backend(backend: str | type[Backend], **settings: Any) -> list[Outcome]:
    """Check a backend; for use in a test.

    Args:
        settings: as `run_checks` takes them.
    Raises:
        NonConforming: (an AssertionError) naming every check that failed, and what to change.
    """
    outcomes = run_checks(backend, **settings)
    if any(each.status == "fail" for each in outcomes):
        raise NonConforming(backend if isinstance(backend, str) else backend.name, outcomes)
    return outcomes


async def _cards(
    backend: type[Backend], given: Mapping[str, Given | Sequence[Given]], lab: Lab
) -> dict[str, ModelCard | tuple[ModelCard, ...]]:
    """The given models as cards, one or several a slot as the backend declares it."""
    for name in given:
        if name not in backend.slots:
            raise UnfedError(f"backend {backend.name} has no model slot {name!r}", hint=nearest(name, backend.slots))
    cards: dict[str, ModelCard | tuple[ModelCard, ...]] = {}
    for name, slot in backend.slots.items():
        if name not in given:
            if slot.optional:
                continue
            raise UnfedError(
                f"backend {backend.name} needs a model in the slot {name!r} ({slot.about})",
                hint=f"give models={{{name!r}: FOLDER}}, or --model {name}=FOLDER",
            )
        listed = given[name]
        several = [listed] if isinstance(listed, str | Path | ModelCard) else list(listed)
        opened = [each if isinstance(each, ModelCard) else await lab.card(str(each)) for each in several]
        if not slot.many and len(opened) != 1:
            raise UnfedError(f"the slot {name!r} of backend {backend.name} takes one model")
        cards[name] = tuple(opened) if slot.many else opened[0]
    return cards


@contextlib.asynccontextmanager
async def _closing(lab: Lab) -> AsyncIterator[Lab]:
    try:
        yield lab
    finally:
        await lab.close()
