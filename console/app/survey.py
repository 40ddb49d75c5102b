"""What can be run: backends, their plans for the chosen models, and the columns they make. Made in a worker."""

from __future__ import annotations

import msgspec

from unfed.plugins import Backend, Failure, Plan, Requirement, UnfedError
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
        backends: those that can be imported.
        missing: backend → requirements that are not installed, where there are some.
        plugins: kind, name and title of everything on offer.
        cards: of all backends and broken plugins, the chosen ones first.
        columns: one for each variant of the choice.
        problem: why the choice has no variants or no examples, where it has none.
    """

    choice: Choice
    backends: dict[str, type[Backend]] = {}
    missing: dict[str, tuple[Requirement, ...]] = {}
    unavailable: tuple[Unavailable, ...] = ()
    plugins: tuple[tuple[str, str, str], ...] = ()
    cards: tuple[Card, ...] = ()
    columns: tuple[Column, ...] = ()
    examples: tuple[Prompt, ...] = ()
    problem: Failure | None = None


def survey(desk: Desk, choice: Choice) -> Survey:
    """Look at what is installed and plan every backend; nothing is started. What a plugin raises stays its own."""
    backends = dict(desk.backends())
    chosen = choice.backends
    cards: list[Card] = []
    missing: dict[str, tuple[Requirement, ...]] = {}
    for name in sorted(backends, key=lambda name: (name not in chosen, name)):
        try:
            if needs := backends[name].missing():
                missing[name] = needs
            plan = None if needs else _plan_alone(desk, choice, name)
            cards.append(of_backend(backends[name], plan, needs, name in chosen))
        except Exception as error:
            cards.append(Card(name=name, title="", problem=str(as_failure(error)), chosen=name in chosen))
    unavailable = tuple(desk.unavailable())
    cards += [of_unavailable(broken) for broken in unavailable if broken.name not in backends]
    columns, problem = _columns(desk, choice)
    examples: tuple[Prompt, ...] = ()
    try:
        examples = tuple(desk.examples(choice))
    except Exception as error:
        problem = problem or as_failure(error)
    return Survey(
        choice=choice,
        backends=backends,
        missing=missing,
        unavailable=unavailable,
        plugins=tuple(desk.plugins()),
        cards=tuple(cards),
        columns=columns,
        examples=examples,
        problem=problem,
    )


def _plan_alone(desk: Desk, choice: Choice, name: str) -> Plan | Failure:
    """What a backend asks for under the choice's profile and options, or why it cannot be planned."""
    try:
        request = desk.request(msgspec.structs.replace(choice, backends=(name,)), None)
        return _plan(request.variants[0], request)
    except Exception as error:
        return as_failure(error)


def _plan(variant: Variant, request: Request) -> Plan:
    """A plan whose every word is one that the contract knows: screens rely on it."""
    plan = variant.backend().plan_for(request.models, variant.options).check()
    return msgspec.convert(msgspec.to_builtins(plan), Plan)


def _columns(desk: Desk, choice: Choice) -> tuple[tuple[Column, ...], Failure | None]:
    if not choice.backends:
        return (), None
    try:
        request = desk.request(choice, None)
    except Exception as error:
        return (), as_failure(error)
    columns = []
    for variant in request.variants:
        column = Column(variant=variant.id, backend=variant.backend.name, title=str(variant.backend.title))
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
