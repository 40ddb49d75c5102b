"""What can be run: backends, their plans for the chosen models, and the columns they make. Made in a worker."""

from __future__ import annotations

import msgspec

from unfed.plugins import Backend, Failure, Plan, UnfedError
from unfed.plugins.host import Unavailable

from ..results.record import Prompt
from ..runner.request import Request
from ..runner.variants import Variant
from .columns import Column
from .desk import Choice, Desk
from .figures.cards import Card, of_backend, of_unavailable


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """A choice, and what follows from it.

    Attributes:
        plugins: kind, name and title of everything on offer.
        plans: backend → what it would ask for with the choice's options, or why it cannot.
        columns: one for each variant of the choice.
        problem: why the choice has no variants, where it has none.
    """

    choice: Choice
    backends: dict[str, type[Backend]] = {}
    unavailable: tuple[Unavailable, ...] = ()
    plugins: tuple[tuple[str, str, str], ...] = ()
    plans: dict[str, Plan | Failure] = {}
    columns: tuple[Column, ...] = ()
    examples: tuple[Prompt, ...] = ()
    problem: Failure | None = None

    def cards(self) -> list[Card]:
        """Cards of all backends, the chosen ones first."""
        chosen = self.choice.backends
        names = sorted(self.backends, key=lambda name: (name not in chosen, name))
        cards = [of_backend(self.backends[name], self.plans.get(name), name in chosen) for name in names]
        return cards + [of_unavailable(broken) for broken in self.unavailable if broken.name not in self.backends]


def survey(desk: Desk, choice: Choice) -> Survey:
    """Look at what is installed and plan every backend; nothing is started. Raises nothing that a plugin raised."""
    backends = dict(desk.backends())
    plans: dict[str, Plan | Failure] = {}
    for name, backend in backends.items():
        if not backend.missing():
            alone = msgspec.structs.replace(choice, backends=(name,))
            try:
                request = desk.request(alone, None)
                plans[name] = _plan(request.variants[0], request)
            except Exception as error:
                plans[name] = as_failure(error)
    columns, problem = _columns(desk, choice)
    return Survey(
        choice=choice,
        backends=backends,
        plugins=tuple(desk.plugins()),
        unavailable=tuple(desk.unavailable()),
        plans=plans,
        columns=columns,
        examples=tuple(desk.examples(choice)),
        problem=problem,
    )


def _plan(variant: Variant, request: Request) -> Plan:
    return variant.backend().plan(request.models, variant.options).check()


def _columns(desk: Desk, choice: Choice) -> tuple[tuple[Column, ...], Failure | None]:
    if not choice.backends:
        return (), None
    try:
        request = desk.request(choice, None)
    except Exception as error:
        return (), as_failure(error)
    columns = []
    for variant in request.variants:
        column = Column(variant=variant.id, backend=variant.backend.name, title=variant.backend.title)
        try:
            plan = _plan(variant, request)
            column.mode, column.guarantee, column.parties = plan.mode, plan.guarantee, plan.processes()
        except Exception as error:
            column.problem = as_failure(error)
        columns.append(column)
    return tuple(columns), None


def as_failure(error: BaseException) -> Failure:
    """Any exception as something to show: a person's error as it is, a stranger's with its type."""
    if isinstance(error, UnfedError):
        return error.failure
    return Failure(kind="internal", message=f"{type(error).__name__}: {error}")
