"""The face of a technique: what it is called, what it needs, and the plan it asks for."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, final

import msgspec

from .errors import UnfedError
from .image import QueryKind
from .models import ModelCard
from .options import Options as BaseOptions
from .plan import Plan
from .role import Model

Models = Mapping[str, "ModelCard | tuple[ModelCard, ...]"]


class Slot(msgspec.Struct, frozen=True):
    """A model that a backend needs, by name; the profile fills it."""

    about: str
    many: bool = False
    optional: bool = False


class Requirement(msgspec.Struct, frozen=True):
    """A module that the roles import, and the command that installs it."""

    module: str
    install: str


class Backend(ABC):
    """One technique as a plugin.

    A subclass names itself and writes `plan`; its roles are named in the plan as `"package.module:Class"`. The face
    must import nothing heavy: it is imported by the console.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str] = ""
    source: ClassVar[str] = ""
    Options: ClassVar[type[BaseOptions]] = BaseOptions
    slots: ClassVar[Mapping[str, Slot]] = {"model": Slot("the causal language model that answers")}
    takes: ClassVar[tuple[QueryKind, ...]] = ("text",)
    requires: ClassVar[tuple[Requirement, ...]] = ()

    @abstractmethod
    def plan(self, models: Models, options: BaseOptions) -> Plan:
        """The parties, links and guarantee for these models.

        Args:
            models: slot → card (or cards, where the slot takes many).
            options: an instance of the subclass's own `Options`.
        Raises:
            UnfedError: a model or option that this backend cannot serve, naming which and why.
        """

    @final
    def plan_for(self, models: Models, options: BaseOptions) -> Plan:
        """`plan`, for models that answer what this backend takes. Slots of other backends are left out of account.

        Raises:
            UnfedError: a model or option that this backend cannot serve.
        """
        for card in cards_of(type(self), models):
            if card.takes not in self.takes:
                raise UnfedError(
                    f"backend {self.name} takes {' and '.join(_ASKED[kind] for kind in self.takes)}, "
                    f"and {card.name} takes {_ASKED[card.takes]}",
                    hint="choose another model or backend; unfed-console backends says what each takes",
                )
        return self.plan(models, options)

    def judge(self, proof: bytes, model: Model) -> str:
        """What the party that a proof of this backend's is about did wrong; empty where it did nothing wrong.

        Args:
            proof: a file that a run of this backend has written.
            model: the whole model that the party says it ran.
        Raises:
            UnfedError: this backend gives no proofs, or it is none.
        """
        raise UnfedError(f"backend {self.name} gives no proofs against parties", kind="bad-input")

    @classmethod
    def missing(cls) -> tuple[Requirement, ...]:
        """Requirements that are not installed."""
        return tuple(need for need in cls.requires if importlib.util.find_spec(need.module.partition(".")[0]) is None)


_ASKED: Mapping[QueryKind, str] = {"text": "text prompts", "image": "images"}


def cards_of(backend: type[Backend], models: Models) -> list[ModelCard]:
    """The models in the slots of `backend`."""
    found: list[ModelCard] = []
    for slot in backend.slots:
        given = models.get(slot, ())
        found += [given] if isinstance(given, ModelCard) else given
    return found
