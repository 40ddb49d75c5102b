"""The face of a technique: what it is called, what it needs, and the plan it asks for."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import msgspec

from .models import ModelCard
from .options import Options as BaseOptions
from .plan import Plan

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

    @classmethod
    def missing(cls) -> tuple[Requirement, ...]:
        """Requirements that are not installed."""
        return tuple(need for need in cls.requires if importlib.util.find_spec(need.module.partition(".")[0]) is None)
